"""The gap of the garbage collector: where finalizers run.

Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes others
than the recorded process did. What they call is on the tape, so they must run at the same place in both. So
the interpreter's own rule is off, and each request ends with a collection.

A full collection visits every object that is alive. Made at the end of each request, it would make the cost
of a request grow with what the process keeps. So a request's end collects the *young* objects only, those
made since the last collection, and a full one comes when it is due: when the process has computed
:data:`RARITY` times as long as a full collection takes. Full collections then cost a fixed share of the
processor, whatever they take, and garbage that is not young is freed after a time that is in proportion to
what is alive. When that is depends on the machine, so while recording the decision goes on the tape, with the
request that it was made for, and a replay takes it from there.
"""

from __future__ import annotations

import gc
import time
from typing import Final

YOUNG: Final = 0
MIDDLE: Final = 1
FULL: Final = 2
"""What to collect at a request's end: the collector's generations."""

RARITY: Final = 40
"""Full collections take one part of the process's time in so many, at most."""
MIDDLE_EVERY: Final = 16
"""Requests between two collections of what survived a young one: mostly what other open requests held."""


class Collections:
    """Decides, while recording, what the collection at the end of each request covers."""

    # The originals, captured before the engine replaces them by recorded versions.
    _now = staticmethod(time.process_time)

    def __init__(self) -> None:
        self._requests = 0
        self._due = 0.0

    def next(self) -> int:
        """Return what the request that begins now is to collect at its end."""
        self._requests += 1
        if self._now() >= self._due:
            self._due = float("inf")  # until that one is done
            return FULL
        return YOUNG if self._requests % MIDDLE_EVERY else MIDDLE

    def collect(self, generation: int) -> None:
        """Collect *generation* and what is younger."""
        if generation < FULL:
            gc.collect(generation)
            return
        began = self._now()
        gc.collect()
        ended = self._now()
        self._due = ended + (ended - began) * RARITY


def collect_at_fixed_places() -> Collections:
    """Set aside what start-up made, switch the collector off, and return what runs it at requests' ends."""
    gc.collect()
    gc.freeze()
    gc.disable()
    return Collections()
