"""Gaps of threads: what they wait for among themselves."""

from __future__ import annotations

import queue

from loadgen.traced import schedule
from loadgen.traced.installing import when_installed


def order_the_threads() -> None:
    """Put what threads wait for on the tape; see :mod:`loadgen.traced.schedule`."""
    when_installed(schedule.install)
    # Two threads that wait for one of C's get their items in an order that is not on the tape.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]
