"""Numbers of threads, as a library sees them that names things by them."""

from __future__ import annotations

import _thread
from types import SimpleNamespace

from loadgen.traced.gaps.threads import numbered


def test_a_traced_thread_has_the_number_of_the_tape() -> None:
    """It is the same in a replay; a thread outside the trace keeps its own."""
    numbers: list[int | None] = [1_000_007, None]
    seen = numbered(_thread, SimpleNamespace(_thread_id=SimpleNamespace(get=lambda: numbers.pop(0))))
    assert seen.get_ident() == 1_000_007
    assert seen.get_ident() == _thread.get_ident()
