"""The right to run traced code: while recording with ``turns``, one thread has it at a time.

A thread that waits for something that is not on the tape (an import lock, C code of a library) would keep the
turn forever, perhaps from the very thread that it waits for. It therefore loses the turn, and the log says
so, because the order from then on is not recorded. A thread that is merely slow, on a busy machine or with
much to compute, keeps it: the kernel's state of the process shows the difference.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident, get_native_id
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadgen.traced.tape import LiveLock

if TYPE_CHECKING:
    from collections.abc import Callable

STALLED: Final = 1.0
"""Seconds between two checks of an owner, which has stalled if it neither moved nor computed meanwhile."""
LONGEST: Final = 10.0
"""Seconds that the process may compute in one turn while others wait, because an owner may wait by
polling."""


class OwnerState(NamedTuple):
    """An owner as seen by a waiting thread."""

    tenure: int
    """Number of the turn."""
    frame: int
    instruction: int
    """Its next instruction."""
    where: str
    """File and line of that instruction."""
    computed: float
    """Seconds of processor time that the process had used."""


def lost(where: str) -> str:
    """Return the message for a thread that lost its turn; *where* is a file and a line, or empty."""
    at = f", at {where}" if where else ""
    return (
        "loadgen: a thread waits for something that loadgen does not record (an import that another thread "
        f"makes, or C code of a library){at}; others ran on meanwhile, in an order that is not recorded. A "
        "replay may differ here.\n"
    )


def at_rest() -> bool:
    """Return whether no other thread of this process is running or runnable."""
    mine = str(get_native_id())
    tasks = os.listdir("/proc/self/task")  # noqa: PTH208 - a path costs more, while all wait
    return not any(_runs(task) for task in tasks if task != mine)


def _runs(task: str) -> bool:
    try:
        file = os.open(f"/proc/self/task/{task}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # the thread has ended
    try:
        return os.read(file, 512).rpartition(b") ")[2][:1] == b"R"
    except OSError:
        return False
    finally:
        os.close(file)


class Turn:
    """The turn, and the thread that owns it.

    Args:
        off_the_tape: Makes a function callable from traced code without being recorded.
    """

    def __init__(self, off_the_tape: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._at_rest: Callable[[], bool] = off_the_tape(at_rest)
        self._computed: Callable[[], float] = off_the_tape(time.process_time)
        self._say: Callable[[str], object] = off_the_tape(sys.stderr.write)
        self._free = LiveLock()
        """Held while a thread has the turn; waiting threads wait for this lock."""
        self._guard = LiveLock()
        """Held while the owner changes, because a stalled owner may continue at that moment."""
        self._owner: int | None = None
        self._tenure = 0

    def enter(self) -> None:
        """Wait for this thread's turn, unless it already has it."""
        if self._owner == get_ident():
            return
        first: OwnerState | None = None
        before: OwnerState | None = None
        while not self._free.acquire(True, STALLED):
            seen = self._look()
            if first is None or seen is None or first.tenure != seen.tenure:
                first = seen
            elif self._is_lost(first, before, seen) and self._take_from(seen):
                return
            before = seen
        self._give_to_me()

    def leave(self) -> None:
        """Let another thread run, if this one has the turn."""
        if self._owner != get_ident():
            return
        with self._guard:
            if self._owner == get_ident():
                self._owner = None
                self._free.release()

    def _look(self) -> OwnerState | None:
        tenure, owner = self._tenure, self._owner
        if owner is None:
            return None
        frame = sys._current_frames().get(owner)
        if frame is None:
            return OwnerState(tenure, 0, 0, "", self._computed())
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        return OwnerState(tenure, id(frame), frame.f_lasti, where, self._computed())

    def _is_lost(self, first: OwnerState, before: OwnerState | None, seen: OwnerState) -> bool:
        stands = before is not None and (before.frame, before.instruction) == (seen.frame, seen.instruction)
        return (stands and self._at_rest()) or seen.computed - first.computed > LONGEST

    def _take_from(self, seen: OwnerState) -> bool:
        with self._guard:
            if self._owner is None or self._tenure != seen.tenure:
                return False  # it continued by itself
            self._give_to_me()
        self._say(lost(seen.where))
        return True

    def _give_to_me(self) -> None:
        self._tenure += 1  # before there is an owner to take it from
        self._owner = get_ident()
