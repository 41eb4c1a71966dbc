"""Gaps of numerical code: what seeds NumPy's generators comes from outside, and nothing else of it does."""

from __future__ import annotations

import sys
from typing import Any


def global_generator(target: Any, system: Any) -> Any:
    """Have NumPy's global generator go on in a replay from where it was when it was recorded.

    It is seeded while NumPy is imported, which is not traced. A ``system_wrap`` of the overlay. All other
    generators ask the operating system when they are made. The engine's own configuration makes proxies of
    their classes, which NumPy refuses to draw from, and of which a replay dies.
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
