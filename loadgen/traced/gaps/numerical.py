"""Gaps of numerical code: the seeds of NumPy's generators, and files that NumPy uses in C."""

from __future__ import annotations

import sys
from typing import Any

from loadgen.traced import schedule


def global_generator(target: Any, system: Any) -> Any:
    """Let NumPy's global generator start a replay in its recorded state.

    It is seeded while NumPy is imported, which is not traced. A ``system_wrap`` of the overlay. All other
    generators get their seed from the operating system when they are created. The engine's own configuration
    turns their classes into proxies, which NumPy refuses to draw from, and which crash a replay.
    """

    def state() -> tuple[Any, ...]:
        name, keys, *rest = target.get_state()
        return (name, keys.tobytes(), *rest)

    if system.thread_id() is not None:
        recorded = system.gate.apply_with("internal", system.patch_function(state))
        with schedule.keeping_the_turn(system):  # also if a request imports NumPy
            name, keys, *rest = recorded()
        numpy = sys.modules["numpy"]
        target.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
    return target


def has_descriptor(target: Any, system: Any) -> Any:
    """Let NumPy save and load arrays by the methods of a file, as with one that has no descriptor.

    With a descriptor it writes and reads in C, which is not on the tape. A ``system_wrap`` of the overlay.
    """
    del target, system
    return lambda _: False
