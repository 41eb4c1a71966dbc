"""The gap of the garbage collector: where finalizers run."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def collect_at_fixed_places() -> Callable[[], object]:
    """Set aside what start-up made, switch the collector off, and return what each request calls at its end.

    Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes
    others than the recorded process did. What they call is on the tape, so they must run at one place.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    return gc.collect
