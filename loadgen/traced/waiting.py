"""The graph of threads that wait for locks: detects a deadlock when the cycle is closed.

A lock that is used as a signal, as in a condition, has no holder, because any thread may release it. A wait
for it cannot close a cycle.
"""

from __future__ import annotations

from typing import NamedTuple


class Wait(NamedTuple):
    """A thread waits for a lock."""

    thread: int
    location: str
    """Where it waits."""
    holder: int
    """The thread that has the lock."""
    taken: str
    """Where the holder took it."""


class WaitGraph:
    """The holders of locks and the threads that wait for them. Locks are identified by ``id``."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, str]] = {}
        self._wanted: dict[int, tuple[int, str, bool]] = {}

    def took(self, thread: int, lock: int, location: str) -> None:
        """Note that *thread* took *lock* at *location*."""
        self._held[lock] = (thread, location)

    def released(self, lock: int) -> None:
        """Note that *lock* was released."""
        self._held.pop(lock, None)

    def holder(self, lock: int) -> int | None:
        """Return the holder of *lock*, if known."""
        held = self._held.get(lock)
        return None if held is None else held[0]

    def waits(self, thread: int, lock: int, location: str, *, for_ever: bool) -> list[Wait]:
        """Note that *thread* waits for *lock*; return the cycle that this closes, beginning with it, if any.

        A wait with a time-out is not part of a cycle. Neither is a thread that waits for its own lock, which
        another thread may be meant to release (see :meth:`alone`).
        """
        self._wanted[thread] = (lock, location, for_ever)
        circle: list[Wait] = []
        at = thread
        while (wanted := self._wanted.get(at)) is not None and wanted[2]:
            held = self._held.get(wanted[0])
            if held is None or held[0] == at or len(circle) > len(self._wanted):
                return []
            circle.append(Wait(at, wanted[1], *held))
            at = held[0]
            if at == thread:
                return circle
        return []

    def alone(self, thread: int) -> list[Wait]:
        """Return the wait of *thread* for a lock that it holds itself, or nothing."""
        wanted = self._wanted.get(thread)
        held = None if wanted is None else self._held.get(wanted[0])
        if wanted is None or held is None or held[0] != thread or not wanted[2]:
            return []
        return [Wait(thread, wanted[1], *held)]

    def goes_on(self, thread: int) -> None:
        """Note that *thread* no longer waits."""
        self._wanted.pop(thread, None)


def name(thread: int | None, first_request: int) -> str:
    """Return the name of a thread: a request, or a thread of the application."""
    if thread is None:
        return "nobody"
    return f"request {thread - first_request}" if thread >= first_request else f"thread {thread}"


def told(circle: list[Wait], first_request: int) -> str:
    """Describe a cycle in words."""
    return "; ".join(
        f"{name(wait.thread, first_request)} at {wait.location} waits for a lock that "
        f"{name(wait.holder, first_request)} took at {wait.taken}"
        for wait in circle
    )
