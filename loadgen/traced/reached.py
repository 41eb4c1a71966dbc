"""What a replay reaches: lines of the application's own code, and kinds of calls, by request.

The functions that the interpreter calls for each line run inside the trace, so they use only what the engine
does not replace: dictionaries, sets, and strings. Coverage.py's own collector calls the application's
environment from there, which would be on the tape. On CPython 3.12, lines are reported by ``sys.monitoring``,
on 3.11 by ``sys.settrace``.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from loadgen.traced import moved
from loadgen.traced.kinds import text_of
from loadgen.traced.own import Own
from loadgen.traced.settings import FIRST_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from types import CodeType, FrameType

    from loadgen.traced.tape import TapeTurns

    Lines = set[tuple[str, int]]

TOOL = 1
"""Number for ``sys.monitoring`` that is reserved for coverage tools."""
_OURS = "loadgen."


class Reached:
    """The lines and calls of this replay."""

    def __init__(self, packages: Iterable[str]) -> None:
        """*packages* are those that the server's command names."""
        self._own = Own(packages)
        self._other: Lines = set()
        """Lines of the start, and of threads that belong to no request."""
        self._here: dict[int, Lines] = {}
        """The lines of each request that runs, by the thread of the operating system."""
        self._sets: dict[frozenset[tuple[str, int]], int] = {}
        self._calls: dict[str, int] = {}
        self._asked: dict[int, set[int]] = {}
        self._requests: dict[int, int] = {}

    def begin(self) -> None:
        """Start to collect; before the engine starts."""
        if hasattr(sys, "monitoring"):
            self._monitor(sys.monitoring)
        else:
            threading.settrace(self._start)
            sys.settrace(self._start)

    @contextmanager
    def request(self, seq: int) -> Iterator[None]:
        """Collect the lines of the calling thread for request *seq*."""
        lines: Lines = set()
        self._here[get_ident()] = lines
        try:
            yield
        finally:
            del self._here[get_ident()]
            reached = frozenset(lines)
            self._requests[seq] = self._sets.setdefault(reached, len(self._sets))

    def called(self, thread: int, described: Any) -> None:
        """Note a call; statements count by their text, all others by their name."""
        if isinstance(described, str):
            kind = described
        else:
            text = text_of(described) if "execute" in described[0] else ""
            kind = f"{described[0]} {text}" if text else described[0]
        if not kind.startswith(_OURS):
            number = self._calls.setdefault(kind, len(self._calls))
            self._asked.setdefault(thread - FIRST_THREAD, set()).add(number)

    def told(self) -> dict[str, Any]:
        """Return the report: see :class:`loadgen.core.reach.Reach`."""
        return {
            "sets": [_by_file(lines) for lines in self._sets],
            "calls": list(self._calls),
            "requests": {
                seq: [number, sorted(self._asked.get(seq, ()))] for seq, number in self._requests.items()
            },
            "other": _by_file(self._other),
        }

    # ---- by sys.settrace --------------------------------------------------------------------------------

    def _start(self, frame: FrameType, event: str, arg: object) -> Any:
        del event, arg
        file = frame.f_code.co_filename
        if not self._own(file):
            return None
        add = self._here.get(get_ident(), self._other).add

        def line(frame: FrameType, event: str, arg: object) -> Any:
            del arg
            if event == "line":
                add((file, frame.f_lineno))
            return line

        return line

    # ---- by sys.monitoring ------------------------------------------------------------------------------

    def _monitor(self, monitoring: Any) -> None:
        own, here, other, ident = self._own, self._here, self._other, get_ident
        events, disable = monitoring.events, monitoring.DISABLE
        watch = monitoring.set_local_events

        def start(code: CodeType, offset: int) -> object:
            del offset
            if own(code.co_filename):
                watch(TOOL, code, events.LINE)
            return disable

        def line(code: CodeType, number: int) -> None:
            here.get(ident(), other).add((code.co_filename, number))

        monitoring.use_tool_id(TOOL, "loadgen coverage")
        monitoring.register_callback(TOOL, events.PY_START, start)
        monitoring.register_callback(TOOL, events.LINE, line)
        monitoring.set_events(TOOL, events.PY_START)


def _by_file(lines: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for file, line in sorted(lines):
        found.setdefault(moved.here(file), []).append(line)
    return found


CURRENT: list[Reached] = []
"""What this replay reaches, if that is collected."""


def begin(packages: Iterable[str]) -> None:
    """Collect what this process reaches; before the engine starts."""
    CURRENT.append(Reached(packages))
    CURRENT[0].begin()


def follow(tape: TapeTurns | None) -> None:
    """Collect the calls of the replay of *tape*."""
    if CURRENT and tape is not None:
        tape.called = CURRENT[0].called


def request(seq: int) -> AbstractContextManager[None]:
    """Collect the lines of request *seq*, which the calling thread is about to serve."""
    return CURRENT[0].request(seq) if CURRENT else nullcontext()
