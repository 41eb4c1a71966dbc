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
"""Seconds between two samples of an owner, which has stalled if it slept in both, and nearly always
between them."""
LONGEST: Final = 10.0
"""Seconds that the process may compute in one turn while others wait, because an owner may wait by
polling."""
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_STATE, _USER, _SYSTEM = 0, 11, 12
"""Fields of a thread in ``/proc``, counted from its state."""
_RUNS: Final = (b"R", b"D")
"""States of a thread that runs, is runnable, or waits for the disk."""


def lost(where: str) -> str:
    """Return the message for a thread that lost its turn; *where* is a file and a line, or empty."""
    at = f", at {where}" if where else ""
    return (
        "loadgen: a thread waits for something that loadgen does not record (an import that another thread "
        f"makes, or C code of a library){at}; others ran on meanwhile, in an order that is not recorded. A "
        "replay may differ here.\n"
    )


class OwnerState(NamedTuple):
    """An owner as seen by a waiting thread.

    Only the kernel is asked. A reference to a frame of the owner would keep alive what the frame refers to,
    if its function returns meanwhile, and finalizers would run on the waiting thread, off the tape.
    """

    turn: tuple[int, int]
    """Number of the turn, and of its owner in the kernel."""
    ran: float
    """Seconds of processor time that the thread had used."""
    computed: float
    """The same, of the process."""
    at_rest: bool
    """Whether no other thread of the process was running, runnable, or waiting for the disk."""


def look(turn: tuple[int, int]) -> OwnerState:
    """Return the state of the owner of *turn*; to be called off the tape."""
    mine, ran, at_rest = str(get_native_id()), 0.0, True
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - a path costs more, while all wait
        if task != mine and (fields := _fields(task)):
            at_rest = at_rest and fields[_STATE] not in _RUNS
            if task == str(turn[1]):
                ran = (int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK
    return OwnerState(turn, ran, time.process_time(), at_rest)


def has_stalled(before: OwnerState, seen: OwnerState) -> bool:
    """Return whether the owner did nothing between two samples, at least :data:`STALLED` seconds apart."""
    same = before.turn == seen.turn
    return same and before.at_rest and seen.at_rest and seen.ran - before.ran < 2 * _TICK


def _fields(task: str) -> list[bytes]:
    """Return the fields of a thread behind its name; none if it has ended."""
    try:
        file = os.open(f"/proc/self/task/{task}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return os.read(file, 512).rpartition(b") ")[2].split()
    except OSError:
        return []
    finally:
        os.close(file)


class Turn:
    """The turn, and the thread that owns it.

    Args:
        off_the_tape: Makes a function callable from traced code without being recorded.
    """

    def __init__(self, off_the_tape: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._look: Callable[[tuple[int, int]], OwnerState] = off_the_tape(look)
        self._say: Callable[[str], object] = off_the_tape(sys.stderr.write)
        self._native = get_native_id  # the original, captured before the engine replaces it
        self._free = LiveLock()
        """Held while a thread has the turn; waiting threads wait for this lock."""
        self._guard = LiveLock()
        """Held while the owner changes, because a stalled owner may continue at that moment."""
        self._owner: int | None = None
        self._turn = (0, 0)
        """Number of the current or last turn, and of its owner in the kernel."""

    def enter(self) -> None:
        """Wait for this thread's turn, unless it already has it."""
        if self._owner == get_ident():
            return
        first: OwnerState | None = None
        before: OwnerState | None = None
        while not self._free.acquire(True, STALLED):
            seen = self._look(self._turn)
            if first is None or before is None or first.turn != seen.turn:
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

    def _is_lost(self, first: OwnerState, before: OwnerState, seen: OwnerState) -> bool:
        return has_stalled(before, seen) or seen.computed - first.computed > LONGEST

    def _take_from(self, seen: OwnerState) -> bool:
        with self._guard:
            if self._owner is None or self._turn != seen.turn:
                return False  # it continued by itself
            where = self._where(self._owner)
            self._give_to_me()
        self._say(lost(where))
        return True

    def _where(self, owner: int) -> str:
        frame = sys._current_frames().get(owner)
        return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def _give_to_me(self) -> None:
        self._turn = self._turn[0] + 1, self._native()  # before there is an owner to take it from
        self._owner = get_ident()
