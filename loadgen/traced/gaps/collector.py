"""The gap of the garbage collector: where finalizers run.

The collector runs when it has counted enough allocations, and a replay allocates differently. Calls made by
finalizers are on the tape, so finalizers must run at the same position in both phases. Automatic collection
is therefore off, from before the engine starts, and garbage is collected at the ends of requests.

Every collection is a full one. A collection of young objects frees objects depending on when they were
created, which is not fixed for results from outside: a thread's row exists before the thread may continue,
and other requests may end meanwhile. A full collection depends only on references.

A full collection visits every object, so one at the end of each request would slow down processes that keep
many objects. The end of a request collects only if a collection is due: if the process has computed
:data:`RARITY` times as long as the last one took, or has grown by a quarter. So collections take a fixed
share of the processor, whatever is alive. The decision depends on the machine, so while recording it is
written to the tape with its request, and a replay reads it from there.
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
"""Collections take at most one part in this many of the process's time."""
GROWTH: Final = 1.25
"""A collection is due if the process has grown by this factor since the last one."""
LOOK_EVERY: Final = 16
"""Number of requests between two checks of the process's size."""


class Collections:
    """Decides, while recording, which requests collect garbage at their ends."""

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
        """Return whether the request that begins now collects garbage at its end."""
        self._requests += 1
        is_due = self._now() >= self._due
        if not is_due and not self._requests % LOOK_EVERY:
            pages = int(self._read(self._size_of_process, 100, 0).split()[1])
            self._largest = self._largest or pages * GROWTH
            is_due = pages > self._largest
        if is_due:
            self._wait()  # until the collecting request ends, or takes too long
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


def after_start_up() -> Collections:
    """Free the garbage of start-up, freeze what is alive, and return what collects from now on."""
    gc.collect()
    gc.freeze()
    return Collections()


def collect_at_fixed_points() -> None:
    """Collect after start-up and at the ends of requests only."""
    switch_off()


def switch_off() -> None:
    """Switch automatic collection off for good; must be called before the engine starts.

    The engine switches it off while it pickles, and on again if it was on, which may be in another thread
    just after it was switched off here. What the application switches is only told by ``gc.isenabled``.
    """
    gc.disable()
    is_on = True

    def enable() -> None:
        nonlocal is_on
        is_on = True

    def disable() -> None:
        nonlocal is_on
        is_on = False

    gc.enable, gc.disable, gc.isenabled = enable, disable, lambda: is_on


def record_how_much_was_collected() -> None:
    """Record the number that the application's own calls of ``gc.collect`` return, and the statistics.

    They count the garbage of the whole process, including that of the live server and the engine's frames in
    tracebacks, which differ in a replay. Metrics of Prometheus contain them.
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
        for name in ("get_stats", "get_count", "get_freeze_count"):
            setattr(gc, name, system.patch_function(getattr(gc, name)))

    when_installed(install)
