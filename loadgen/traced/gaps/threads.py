"""Gaps of threads: waiting for each other, their numbers, and which there are."""

from __future__ import annotations

import queue
import threading
from _thread import get_ident
from types import SimpleNamespace
from typing import Any

from loadgen.traced import schedule
from loadgen.traced.installing import unseen, when_installed


def order_the_threads() -> None:
    """Record every wait of a thread; see :mod:`loadgen.traced.schedule`."""
    when_installed(schedule.install)
    # The C version gives items to waiting threads in an order that is not on the tape.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]


def show_threads_of_the_application() -> None:
    """Let ``threading.enumerate`` and ``active_count`` see the threads on the tape, and no others.

    The process has more: those of the live server and loadgen's own, which differ in a replay, as does the
    order in which the threads of open requests were started.
    """
    when_installed(_show_threads)


def _show_threads(system: Any) -> None:
    stock, location, thread = threading.enumerate, system.gate.get, system.thread_id
    active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
    known: dict[int, threading.Thread] = {}
    begun: dict[int, None] = {}
    """The numbers of the threads between their first and their last item on the tape, in that order."""
    asked: dict[int, tuple[int, ...]] = {}
    hooks = system.lifecycle_hooks

    def on_start() -> None:
        if get_ident() in active:
            known[thread()] = active[get_ident()]  # before a replay knows that it has begun
        hooks.on_start()
        begun[thread()] = None

    def on_end() -> None:
        begun.pop(thread(), None)
        try:
            if hooks.on_end is not None:
                hooks.on_end()
        finally:
            known.pop(thread(), None)

    def there_are() -> tuple[int, ...]:
        return asked[get_ident()]

    there_are.__module__, there_are.__qualname__ = "threading", "enumerate"  # as it is shown
    recorded = system.patch_function(there_are)

    @unseen
    def of_the_application() -> list[threading.Thread]:
        if location() != "internal":
            return stock()
        here = known.copy()  # others may end during the call
        asked[get_ident()] = tuple(begun)
        try:
            numbers = recorded()
        finally:
            del asked[get_ident()]
        here |= known
        return [here[number] for number in numbers if number in here]

    @unseen
    def active_count() -> int:
        return len(of_the_application())

    system.lifecycle_hooks = hooks._replace(on_start=on_start, on_end=on_end)
    threading.enumerate, threading.active_count = of_the_application, active_count


def numbered(target: Any, system: Any) -> SimpleNamespace:
    """``_thread`` of a module that only compares threads, or names things by them: numbers of the tape."""
    live, number = target.get_ident, system._thread_id.get

    def get_ident() -> int:
        thread: int | None = number()
        return live() if thread is None else thread

    return SimpleNamespace(get_ident=get_ident)
