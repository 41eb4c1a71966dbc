"""Gaps of numerical code: only the seeds of NumPy's generators come from outside."""

from __future__ import annotations

import sys
from typing import Any


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
        name, keys, *rest = recorded()
        numpy = sys.modules["numpy"]
        target.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
    return target
