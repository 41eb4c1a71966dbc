"""Logs the calls of one request in a replay: what they take from the tape, and what remains there."""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from loadgen.traced import moved, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

NOT_THE_APPLICATION = ("/retracesoftware/", "/loadgen/traced/", threading.__file__)
"""Parts of file names that belong to the engine or to loadgen."""

CALLS = 40
"""Number of calls kept, the last ones; all are counted."""
LEFT_OVER = 40
"""Number of remaining items kept."""

Frame = tuple[str, int, str]
"""File, line, function. The line's text is read for the report: opening a file here would be on the tape."""


class CallLogging:
    """The calls of logical thread *thread*."""

    def __init__(self, thread: int, show: Callable[[Any], str]) -> None:
        # Values are described at once and not kept, because that would extend their lives.
        self.thread = thread
        self._show = show
        self._calls: deque[tuple[list[Frame], list[str]]] = deque(maxlen=CALLS)
        self._count = 0
        self._left_over: list[str] = []
        self._tag = ""

    def took(self, item: Any) -> None:
        """Note that the thread takes *item* for one of its calls."""
        at = frames()
        if not at:
            return  # an item of the boundary
        if item == "CALL" or not self._calls or self._calls[-1][0] != at:
            self._calls.append((at, []))
            self._count += 1
        self._note(item, self._calls[-1][1])

    def left(self, item: Any) -> None:
        """Note that *item* remains for the thread, which has left the tape."""
        if len(self._left_over) < LEFT_OVER:
            self._note(item, self._left_over)

    def told(self) -> dict[str, Any]:
        """Return the report, in words."""
        return {
            "calls": [
                {"at": [_line(frame) for frame in at], "got": "; ".join(values)} for at, values in self._calls
            ],
            "count": self._count,
            "left_over": self._left_over,
        }

    def _note(self, item: Any, values: list[str]) -> None:
        """Add the result of a call to *values*; the engine's items are a tag, followed by its value."""
        if self._tag == "RESULT":
            values.append(self._show(item))
        elif self._tag == "ERROR":
            values.append(f"raises {self._show(item)}")
        tag = isinstance(item, str) and item in {"RESULT", "ERROR"} and not self._tag
        self._tag = item if tag else ""


def frames() -> list[Frame]:
    """Return the running calls of this thread, innermost first, without those of loadgen and the engine."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not any(part in code.co_filename for part in NOT_THE_APPLICATION):
            found.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return found


def innermost(calls: list[Frame]) -> Frame | None:
    """Return the innermost of *calls* that is in the application's own code, or else of any code."""
    root = f"{os.path.realpath(settings.CURRENT.application)}/"
    own = (one for one in calls if one[0].startswith(root) and "site-packages" not in one[0])
    return next(own, calls[0] if calls else None)


def _line(frame: Frame) -> str:
    file, line, function = frame
    return f"{moved.here(file)}:{line} in {function}: {linecache.getline(file, line).strip()}"


def application_line() -> str:
    """Return the innermost line of the application's own code that is running, or else of any code."""
    frame = innermost(frames())
    return "" if frame is None else _line(frame)
