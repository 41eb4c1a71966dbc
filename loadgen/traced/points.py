"""Points in the application's own code at which the scheduler may switch threads.

``lines``: every line, and within a line that reads and writes shared state (``total += 1``), before the
write. Threads without a GIL can interleave like this, and CPython may do so some day. ``calls``: only where
CPython with its GIL switches threads: after the call of a built-in function, at the beginning of a function
of the application, and where a loop jumps back.

Points are counted per thread of the tape, in the same way in a replay, which switches at the recorded
numbers. Code in site-packages, module bodies (imports hold locks that are not on the tape), finalizers and
templates have no points. On CPython 3.12, lines are reported by ``sys.monitoring``; on 3.11 by
``sys.settrace``, which is slower, with ``sys.setprofile`` for the calls.
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from loadgen.traced.own import OwnPackages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

    Where = Callable[[], str]

LINES, CALLS, NONE = "lines", "calls", "none"
KINDS = (LINES, CALLS, NONE)
TOOL = 4
"""Our tool number for ``sys.monitoring``; debuggers, coverage and profilers use others."""

_EXCLUDED = frozenset({"<module>", "__del__"})
_SHARED_READS = frozenset(
    {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "LOAD_DEREF", "BINARY_SUBSCR"}
)
_SHARED_WRITES = frozenset({"STORE_GLOBAL", "STORE_NAME", "STORE_ATTR", "STORE_DEREF", "STORE_SUBSCR"})


class Locations:
    """Decides which code belongs to the application, and names its lines."""

    def __init__(self, folder: str, packages: Iterable[str] = ()) -> None:
        """The application is in *folder*, and in its *packages*, also if they are installed."""
        self._root = f"{os.path.realpath(folder)}{os.sep}" if folder else ""
        self._served = OwnPackages(packages)
        self._known: dict[str, str] = {}
        self._excluded = (
            _EXCLUDED  # kept here, because the interpreter clears the module's globals at its end
        )

    def is_own(self, file: str) -> bool:
        """Whether a file contains code of the application."""
        if file not in self._known:
            self._known[file] = self._relative(file) if file.endswith(".py") else ""
        return bool(self._known[file])

    def _relative(self, file: str) -> str:
        """Return *file* relative to the application's folder or to where it is installed; empty: foreign."""
        _, installed, inner = file.rpartition(f"{os.sep}site-packages{os.sep}")
        if installed and file in self._served:
            return inner
        own = bool(self._root) and file.startswith(self._root)
        relative = file.removeprefix(self._root) if own else ""
        return "" if "site-packages" in relative else relative

    def has_points(self, code: CodeType) -> bool:
        """Whether a thread may be stopped in *code*."""
        return code.co_name not in self._excluded and self.is_own(code.co_filename)

    def named(self, code: CodeType, line: int | None) -> str:
        """Return the name of a line."""
        return f"{self._known.get(code.co_filename) or code.co_filename}:{line} {code.co_name}"

    def innermost(self, frame: FrameType | None) -> str:
        """Return the name of the application's innermost line, seen from *frame*; empty if there is none."""
        while frame is not None and not self.is_own(frame.f_code.co_filename):
            frame = frame.f_back
        return "" if frame is None else self.named(frame.f_code, frame.f_lineno)


def writes(code: CodeType) -> frozenset[int]:
    """Return the offsets in *code* at which a line writes shared state that it has read before."""
    found, has_read = [], False
    for instruction in dis.get_instructions(code):
        if instruction.starts_line:
            has_read = False
        if instruction.opname in _SHARED_READS:
            has_read = True
        elif instruction.opname in _SHARED_WRITES and has_read:
            found.append(instruction.offset)
    return frozenset(found)


def install(
    kind: str,
    locations: Locations,
    is_traced: Callable[[], bool],
    thread: Callable[[], int],
    at: Callable[[str, int, Where], None],
) -> None:
    """Call *at* at each point of *kind* that traced code reaches, with its kind, number and location."""
    if kind == NONE:
        return
    counts: dict[int, int] = {}

    def count(sort: str, where: Where) -> None:
        if is_traced():
            me = thread()
            number = counts[me] = counts.get(me, 0) + 1
            at(sort, number, where)

    reporter = _Monitoring if hasattr(sys, "monitoring") else _Tracing
    reporter(locations, count).begin(lines=kind == LINES)


class _Monitoring:
    """Reports points by ``sys.monitoring``, which is configured once per code object."""

    def __init__(self, locations: Locations, at: Callable[[str, Where], None]) -> None:
        self._locations = locations
        self._at = at
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        self._disable = self._monitoring.DISABLE
        self._writes: dict[CodeType, frozenset[int]] = {}
        self._lines = True

    def begin(self, *, lines: bool) -> None:
        """Start to report points."""
        self._lines = lines
        events = self._monitoring.events
        self._monitoring.use_tool_id(TOOL, "loadgen")
        for event, callback in (
            (events.PY_START, self._start),
            (events.LINE, self._line),
            (events.INSTRUCTION, self._instruction),
            (events.C_RETURN, self._returned),
            (events.C_RAISE, self._returned),
            (events.JUMP, self._jumped),
        ):
            self._monitoring.register_callback(TOOL, event, callback)
        self._monitoring.set_events(TOOL, events.PY_START)

    def _start(self, code: CodeType, offset: int) -> object:
        del offset
        if not self._locations.has_points(code):
            return self._disable
        if code not in self._writes:
            self._configure(code)
        if self._lines:
            return self._disable
        self._at("call", lambda: self._locations.named(code, code.co_firstlineno))
        return None

    def _configure(self, code: CodeType) -> None:
        events = self._monitoring.events
        self._writes[code] = found = writes(code) if self._lines else frozenset()
        in_lines = events.LINE | (events.INSTRUCTION if found else 0)
        in_calls = events.CALL | events.JUMP | events.PY_START
        self._monitoring.set_local_events(TOOL, code, in_lines if self._lines else in_calls)

    def _line(self, code: CodeType, line: int) -> None:
        self._at("line", lambda: self._locations.named(code, line))

    def _instruction(self, code: CodeType, offset: int) -> object:
        if offset not in self._writes[code]:
            return self._disable  # permanently, for this location
        self._at("store", lambda: self._locations.named(code, _line_of(code, offset)))
        return None

    def _returned(self, code: CodeType, offset: int, function: object, argument: object) -> None:
        del function, argument
        self._at("call", lambda: self._locations.named(code, _line_of(code, offset)))

    def _jumped(self, code: CodeType, offset: int, destination: int) -> object:
        if destination > offset:
            return self._disable
        self._at("call", lambda: self._locations.named(code, _line_of(code, destination)))
        return None


def _line_of(code: CodeType, offset: int) -> int | None:
    return next((line for start, end, line in code.co_lines() if start <= offset < end), None)


class _Tracing:
    """Reports points by ``sys.settrace`` and ``sys.setprofile``, which see every function of new threads."""

    def __init__(self, locations: Locations, at: Callable[[str, Where], None]) -> None:
        self._locations = locations
        self._at = at
        self._writes: dict[CodeType, frozenset[int]] = {}
        self._last: dict[int, int] = {}
        self._lines = True

    def begin(self, *, lines: bool) -> None:
        """Start to report points."""
        self._lines = lines
        if not lines:
            threading.setprofile(self._in_calls)
        threading.settrace(self._start)

    def _start(self, frame: FrameType, event: str, argument: object) -> Any:
        del event, argument
        code = frame.f_code
        if not self._locations.has_points(code):
            frame.f_trace_lines = False
            return None
        if not self._lines:
            return self._in_loops
        if code not in self._writes:
            self._writes[code] = writes(code)
        frame.f_trace_opcodes = bool(self._writes[code])
        return self._in_lines

    def _tell(self, sort: str, frame: FrameType, line: int) -> None:
        code = frame.f_code
        self._at(sort, lambda: self._locations.named(code, line))

    def _in_lines(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if event == "line":
            self._tell("line", frame, frame.f_lineno)
        elif event == "opcode" and frame.f_lasti in self._writes[frame.f_code]:
            self._tell("store", frame, frame.f_lineno)
        return self._in_lines

    def _in_loops(self, frame: FrameType, event: str, argument: object) -> Any:
        """Report a line that is not after the last one: a loop jumps back."""
        del argument
        if event == "line":
            if frame.f_lasti <= self._last.get(id(frame), -1):
                self._tell("call", frame, frame.f_lineno)
            self._last[id(frame)] = frame.f_lasti
        elif event == "return":
            self._last.pop(id(frame), None)
        return self._in_loops

    def _in_calls(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event in {"call", "c_return", "c_exception"} and self._locations.has_points(frame.f_code):
            self._tell("call", frame, frame.f_code.co_firstlineno if event == "call" else frame.f_lineno)
