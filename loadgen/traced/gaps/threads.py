"""Gaps of threads: waiting for each other, and their numbers."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

from loadgen.traced import schedule
from loadgen.traced.installing import when_installed


def order_the_threads() -> None:
    """Record every wait of a thread; see :mod:`loadgen.traced.schedule`."""
    when_installed(schedule.install)
    # The C version gives items to waiting threads in an order that is not on the tape.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]


def numbered(target: Any, system: Any) -> SimpleNamespace:
    """``_thread`` of a module that only compares threads, or names things by them: numbers of the tape."""
    live, number = target.get_ident, system._thread_id.get

    def get_ident() -> int:
        thread: int | None = number()
        return live() if thread is None else thread

    return SimpleNamespace(get_ident=get_ident)
