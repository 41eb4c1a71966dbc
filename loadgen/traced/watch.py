"""Watching one request in a replay: what it takes from the tape, call by call, and what it leaves there."""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

NOT_THE_APPLICATION = ("/retracesoftware/", "/loadgen/traced/", threading.__file__)
"""Parts of the names of files whose calls are the engine's or ours."""

CALLS = 40
"""The last calls that are kept; all are counted."""
LEFT_OVER = 40
"""Items that are kept of what the recording has further."""

Frame = tuple[str, int, str]
"""File, line, function. The line's text is read when it is told: opening a file here would be on the tape."""


class Watch:
    """What logical thread *thread* does."""

    def __init__(self, thread: int, show: Callable[[Any], str]) -> None:
        # Values are told at once, and not kept: they would live longer than without us.
        self.thread = thread
        self._show = show
        self._calls: deque[tuple[list[Frame], list[str]]] = deque(maxlen=CALLS)
        self._count = 0
        self._left_over: list[str] = []
        self._tag = ""

    def took(self, item: Any) -> None:
        """Note that the thread takes *item*, and for which of its calls."""
        frames = _frames()
        if not frames:
            return  # the boundary's own
        if item == "CALL" or not self._calls or self._calls[-1][0] != frames:
            self._calls.append((frames, []))
            self._count += 1
        self._note(item, self._calls[-1][1])

    def left(self, item: Any) -> None:
        """Note that the recording has *item* for the thread, which has left the tape."""
        if len(self._left_over) < LEFT_OVER:
            self._note(item, self._left_over)

    def told(self) -> dict[str, Any]:
        """Return what was seen, in words."""
        return {
            "calls": [
                {"at": [_line(frame) for frame in frames], "got": "; ".join(values)}
                for frames, values in self._calls
            ],
            "count": self._count,
            "left_over": self._left_over,
        }

    def _note(self, item: Any, values: list[str]) -> None:
        """Add to *values* what a call gave, of the engine's items: a tag, then what it is about."""
        if self._tag == "RESULT":
            values.append(self._show(item))
        elif self._tag == "ERROR":
            values.append(f"raises {self._show(item)}")
        tag = isinstance(item, str) and item in {"RESULT", "ERROR"} and not self._tag
        self._tag = item if tag else ""


def _frames() -> list[Frame]:
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not any(part in code.co_filename for part in NOT_THE_APPLICATION):
            frames.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return frames


def _line(frame: Frame) -> str:
    file, line, function = frame
    return f"{file}:{line} in {function}: {linecache.getline(file, line).strip()}"


def application_line() -> str:
    """Return the innermost line of the application's own code that is being executed, or of any other."""
    frames, root = _frames(), f"{os.path.realpath(settings.CURRENT.application)}/"
    own = (one for one in frames if one[0].startswith(root) and "site-packages" not in one[0])
    frame = next(own, frames[0] if frames else None)
    return "" if frame is None else _line(frame)
