"""Gaps of threads: waiting for each other."""

from __future__ import annotations

import queue

from loadgen.traced import schedule
from loadgen.traced.installing import when_installed


def order_the_threads() -> None:
    """Record every wait of a thread; see :mod:`loadgen.traced.schedule`."""
    when_installed(schedule.install)
    # The C version gives items to waiting threads in an order that is not on the tape.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]
