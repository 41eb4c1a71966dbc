"""Names of locks, so that changed code takes each lock at its recorded position.

A lock has no name and no lasting address. It is named by the function that created it, with a number if that
function creates several in one thread, and each step that takes it also by the function that does. Functions
of the standard library that only pass it on (conditions, queues, futures) do not count as its users. A step
of the tape stores both, as ``creator|user``; the tape stores equal names once.

Line numbers are not part of a name: they change wherever a line is added.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import os
import queue
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from loadgen.traced.installing import unseen
from loadgen.traced.strings import TAPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

NUMBERED = 40
"""Locks of one function and thread that get numbers of their own: names must not grow with the traffic."""
_NAMES = 20_000
_BETWEEN = "|"
_PLUMBING = (
    threading.__file__,
    queue.__file__,
    f"{os.path.dirname(concurrent.futures.__file__)}/",  # noqa: PTH120 - outside the trace
    "/retracesoftware/",
    "/loadgen/traced/",
)
_WAITER = threading.Condition.wait.__code__


class _Created(ref[Any]):
    """A reference to a lock, with its name."""

    __slots__ = ("address", "name")

    address: int
    name: str


class Names:
    """Names locks; *traced* is whether the calling thread's code is, and *thread* its number."""

    def __init__(self, traced: Callable[[], bool], thread: Callable[[], int]) -> None:
        self._traced = traced
        self._thread = thread
        self._created: dict[int, _Created] = {}
        """By the lock's address, as long as the lock lives: C code may create one there that has no name."""
        self._counts: dict[int, dict[str, int]] = {}
        self._steps: dict[tuple[str, CodeType], str] = {}
        self._plumbing: dict[str, bool] = {}

    def step(self, lock: Any) -> str:
        """Name the step in which the caller's caller takes *lock*."""
        code = self._user(sys._getframe(2))
        created = self._created.get(id(lock))
        creator = "" if created is None else created.name
        known = self._steps.get((creator, code))
        if known is None:
            known = TAPE.once(f"{creator}{_BETWEEN}{_name(code)}")
            if len(self._steps) < _NAMES:
                self._steps[creator, code] = known
        return known

    def ended(self, thread: int) -> None:
        """Forget how many locks a thread has created."""
        self._counts.pop(thread, None)

    def _user(self, frame: FrameType) -> CodeType:
        """Return the code of the innermost function that is more than plumbing."""
        here: FrameType | None = frame
        while here is not None:
            code = here.f_code
            passes = self._plumbing.get(code.co_filename)
            if passes is None:
                passes = any(part in code.co_filename for part in _PLUMBING)
                self._plumbing[code.co_filename] = passes
            if not passes:
                return code
            here = here.f_back
        return frame.f_code

    def install(self) -> None:
        """Replace the functions that create locks. Those of C code stay, and their locks have no name."""
        plain = partial(self.create, _thread.allocate_lock)
        for module in (_thread, threading):
            for name in ("allocate_lock", "allocate", "Lock", "_allocate_lock"):
                if getattr(module, name, None) is not None:
                    setattr(module, name, plain)
        threading._CRLock = partial(self.create, _thread.RLock)  # type: ignore[attr-defined]

    @unseen
    def create(self, make: Callable[..., Any], *args: Any) -> Any:
        """Return a new lock, named by the caller."""
        lock = make(*args)
        caller = sys._getframe(1)
        name = _name(self._user(caller))
        if caller.f_code is _WAITER:
            name = f"{name} waits"  # each wait creates one
        elif self._traced():
            counts = self._counts.setdefault(self._thread(), {})
            count = counts[name] = counts.get(name, 0) + 1
            name = f"{name} {min(count, NUMBERED)}"
        created = self._created[id(lock)] = _Created(lock, self._freed)
        created.address, created.name = id(lock), name
        return lock

    def _freed(self, created: _Created) -> None:
        self._created.pop(created.address, None)


def _name(code: CodeType) -> str:
    name = code.co_qualname
    return f"{code.co_filename.rpartition('/')[2]} {name}" if name.startswith("<") else name


def parts(step: str) -> tuple[str, str]:
    """Return the creator and the user of a lock in a step, as :class:`Names` named it."""
    creator, _, user = step.partition(_BETWEEN)
    return creator, user
