"""Watching one request in a replay: what it takes from the tape, call by call, and what it leaves there."""

from __future__ import annotations

import linecache
import sys
import threading
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self._calls: deque[tuple[list[Frame], list[Any]]] = deque(maxlen=CALLS)
        self._count = 0
        self._left_over: list[Any] = []

    def took(self, item: Any) -> None:
        """Note that the thread takes *item*, and for which of its calls."""
        frames = _frames()
        if not frames:
            return  # the boundary's own
        if item == "CALL" or not self._calls or self._calls[-1][0] != frames:
            self._calls.append((frames, []))
            self._count += 1
        self._calls[-1][1].append(item)

    def left(self, item: Any) -> None:
        """Note that the recording has *item* for the thread, which has left the tape."""
        if len(self._left_over) < LEFT_OVER:
            self._left_over.append(item)

    def told(self, show: Callable[[Any], str]) -> dict[str, Any]:
        """Return what was seen, in words; *show* says what a value is."""
        return {
            "calls": [
                {"at": [_line(frame) for frame in frames], "got": "; ".join(_values(items, show))}
                for frames, items in self._calls
            ],
            "count": self._count,
            "left_over": list(_values(self._left_over, show)),
        }


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


def _values(items: Sequence[Any], show: Callable[[Any], str]) -> Iterator[str]:
    """Yield what calls gave, of the engine's *items*: a tag, then what it is about."""
    for tag, value in pairwise(items):
        if tag == "RESULT":
            yield show(value)
        elif tag == "ERROR":
            yield f"raises {show(value)}"
