"""Who waits for whose lock: the circle of threads that can never go on, found when it is closed.

A lock that is used as a signal belongs to nobody: a condition's, which another thread releases. It can be
waited for, but nothing is known of who will release it, so it closes no circle.
"""

from __future__ import annotations

from typing import NamedTuple


class Wait(NamedTuple):
    """A thread waits for a lock."""

    thread: int
    place: str
    """Where it waits."""
    holder: int
    """The thread that has the lock."""
    taken: str
    """Where that thread took it."""


class WaitGraph:
    """Which thread has which lock, and which waits for which. Locks are known by their identity."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, str]] = {}
        self._wanted: dict[int, tuple[int, str, bool]] = {}

    def took(self, thread: int, lock: int, place: str) -> None:
        """*thread* has *lock*, taken at *place*."""
        self._held[lock] = (thread, place)

    def released(self, lock: int) -> None:
        """Nobody has *lock*."""
        self._held.pop(lock, None)

    def holder(self, lock: int) -> int | None:
        """Return who has *lock*, if that is known."""
        held = self._held.get(lock)
        return None if held is None else held[0]

    def waits(self, thread: int, lock: int, place: str, *, for_ever: bool) -> list[Wait]:
        """*thread* waits for *lock*; return the circle that this closes, beginning with it, or nothing.

        A wait that ends by itself, by a time-out, is in no circle. Nor is a thread that waits for what it
        has itself: a lock may be meant to be released by another thread (see :meth:`alone`).
        """
        self._wanted[thread] = (lock, place, for_ever)
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
        """Return the wait of a *thread* for a lock that it has itself, or nothing."""
        wanted = self._wanted.get(thread)
        held = None if wanted is None else self._held.get(wanted[0])
        if wanted is None or held is None or held[0] != thread or not wanted[2]:
            return []
        return [Wait(thread, wanted[1], *held)]

    def goes_on(self, thread: int) -> None:
        """*thread* waits no more."""
        self._wanted.pop(thread, None)


def name(thread: int | None, first_request: int) -> str:
    """Return what a thread is called: a request, or a thread of the application's own."""
    if thread is None:
        return "nobody"
    return f"request {thread - first_request}" if thread >= first_request else f"thread {thread}"


def told(circle: list[Wait], first_request: int) -> str:
    """Say a circle in words."""
    return "; ".join(
        f"{name(wait.thread, first_request)} at {wait.place} waits for a lock that "
        f"{name(wait.holder, first_request)} took at {wait.taken}"
        for wait in circle
    )
