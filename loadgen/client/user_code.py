"""The location in a user's own code that an error came from."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

OURS = str(Path(__file__).parents[1])
LONGEST = 2000
"""Characters kept of an error's message."""


def location(error: BaseException, file: str) -> str:
    """Return the innermost line of *file* that *error* passed through, as ``shop.py, line 7``; or nothing."""
    found = lines(error, file)
    return f"{Path(file).name}, line {found[-1]}" if found else ""


def lines(error: BaseException, file: str) -> tuple[int, ...]:
    """Return the lines of *file* that *error* passed through, innermost last."""
    trace = traceback.walk_tb(error.__traceback__)
    return tuple(line for frame, line in trace if frame.f_code.co_filename == file)


def message(error: BaseException, file: str) -> str:
    """Return the message of *error*; if empty, as for an assertion, the line of *file* that raised it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = str(error)
    if not text:
        found = lines(error, file)
        text = linecache.getline(file, found[-1]).strip() if found else ""
    return text.encode("utf-8", "backslashreplace").decode()[:LONGEST]


def calls(error: BaseException) -> list[str]:
    """Return the calls that led to *error*, outermost first, without loadgen's and the import system's."""
    return [
        f"{frame.filename}, line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((OURS, "<frozen "))
    ]
