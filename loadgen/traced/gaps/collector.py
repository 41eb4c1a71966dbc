"""The gap of the garbage collector: where finalizers run.

Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes others
than the recorded process did. What they call is on the tape, so they must run at the same place in both. The
interpreter's own rule is therefore off, and the collector runs at the ends of requests.

Every collection is a full one. What a collection of young objects frees depends on when each object was made,
and that is at no fixed place for what comes from outside: a row that a thread has received is there before
the thread may go on, and others may end a request meanwhile. What a full one frees depends on nothing but
what refers to what.

It visits every object, so made at the end of each request it would make requests the slower the more the
process keeps. A request's end collects if a collection is due: if the process has computed :data:`RARITY`
times as long as the last one took, or has grown by a quarter. Collections then cost a fixed share of the
processor, whatever is alive; garbage waits for a time in proportion to that, and is in proportion to it. When
that is depends on the machine, so while recording the decision goes on the tape, together with the request
that it was made for, and a replay takes it from there.
"""

from __future__ import annotations

import gc
import os
import time
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Final

from loadgen.traced.installing import when_installed

if TYPE_CHECKING:
    from collections.abc import Callable

RARITY: Final = 30
"""Collections take one part of the process's time in so many, at most."""
GROWTH: Final = 1.25
"""A process that has become so many times as large since the last collection has one due."""
LOOK_EVERY: Final = 16
"""Requests from one look at the process's size to the next."""


class Collections:
    """Decides, while recording, which requests collect at their ends."""

    # The originals, captured before the engine replaces them by recorded versions.
    _collect: Callable[[], int] = staticmethod(gc.collect)
    _now: Callable[[], float] = staticmethod(time.process_time)
    _open: Callable[[str, int], int] = staticmethod(os.open)
    _read: Callable[[int, int, int], bytes] = staticmethod(os.pread)

    def __init__(self) -> None:
        self._size_of_process = self._open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._requests = 0
        self._took = 0.0
        self._due = 0.0
        self._largest: float | None = None

    def next(self) -> bool:
        """Return whether the request that begins now is to collect at its end."""
        self._requests += 1
        is_due = self._now() >= self._due
        if not is_due and not self._requests % LOOK_EVERY:
            pages = int(self._read(self._size_of_process, 100, 0).split()[1])
            self._largest = self._largest or pages * GROWTH
            is_due = pages > self._largest
        if is_due:
            self._wait()  # until this request ends, or takes too long for that
        return is_due

    def collect(self) -> None:
        """Collect all garbage."""
        began = self._now()
        self._collect()
        self._took = self._now() - began
        self._wait()

    def _wait(self) -> None:
        self._due = self._now() + self._took * RARITY
        self._largest = None


def collect_at_fixed_places() -> Collections:
    """Set aside what start-up made, switch the collector off, and return what runs it at requests' ends."""
    gc.collect()
    gc.freeze()
    gc.disable()
    return Collections()


def record_how_much_was_collected() -> None:
    """Put the number that the application's own ``gc.collect`` returns on the tape.

    It counts what is garbage in the whole process: that of the live server too, and the engine's own frames
    in the tracebacks of errors, which are others in a replay.
    """

    def install(system: Any) -> None:
        stock, location, found = gc.collect, system.gate.get, dict[int, int]()

        def number_found() -> int:
            return found[get_ident()]

        number_found.__module__, number_found.__qualname__ = "gc", "collect"  # as it is shown
        recorded = system.patch_function(number_found)

        def collect(generation: int = 2) -> int:
            number = stock(generation)
            if location() != "internal":
                return number
            found[get_ident()] = number
            try:
                return int(recorded())
            finally:
                del found[get_ident()]

        gc.collect = collect

    when_installed(install)
