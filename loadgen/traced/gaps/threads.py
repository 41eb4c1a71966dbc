"""Gaps of threads: waiting for each other, their numbers, and which there are."""

from __future__ import annotations

import queue
import threading
from _thread import get_ident
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from loadgen.traced import schedule
from loadgen.traced.installing import unseen, when_installed

if TYPE_CHECKING:
    from collections.abc import Callable

_Number = int | tuple[int, int] | None
"""That of a thread on the tape: of the main thread and of requests, the engine's; of a thread that the
application starts, which has none before it runs, that of its parent, and which of its children it is."""
_NUMBER = "_loadgen_number"


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
    stock, location = threading.enumerate, system.gate.get
    threads, asked = _Threads(system), dict[int, tuple[_Number, ...]]()

    def there_are() -> tuple[_Number, ...]:
        return asked[get_ident()]

    there_are.__module__, there_are.__qualname__ = "threading", "enumerate"  # as it is shown
    recorded = system.patch_function(there_are)

    @unseen
    def of_the_application() -> list[threading.Thread]:
        if location() != "internal":
            return stock()
        here = threads.known.copy()  # others may end during the call
        asked[get_ident()] = tuple(threads.alive)
        try:
            numbers = recorded()
        finally:
            del asked[get_ident()]
        here |= threads.known
        return [here[number] for number in numbers if number in here]

    @unseen
    def active_count() -> int:
        return len(of_the_application())

    threading.enumerate, threading.active_count = of_the_application, active_count


class _Threads:
    """The threads that are on the tape, by their numbers."""

    def __init__(self, system: Any) -> None:
        self.alive: dict[_Number, threading.Thread] = {}
        """Those that the application would see, from the oldest on."""
        self.known: dict[_Number, threading.Thread] = {}
        """The same, from a little earlier to a little later: a replay has the numbers from the tape."""
        self._thread: Callable[[], int] = system.thread_id
        self._made: dict[int, int] = {}
        self._active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
        hooks = system.lifecycle_hooks
        system.lifecycle_hooks = hooks._replace(
            on_start=self._beginning(hooks.on_start), on_end=self._ending(hooks.on_end)
        )
        threading.Thread.start = self._starting(threading.Thread.start)  # type: ignore[assignment,method-assign]

    def _starting(self, stock: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        def start(thread: threading.Thread) -> None:
            if "run" not in vars(thread):  # the engine replaces it in those that the application starts
                stock(thread)
                return
            parent = self._thread()
            self._made[parent] = self._made.get(parent, 0) + 1
            number = vars(thread)[_NUMBER] = parent, self._made[parent]
            self.known[number] = self.alive[number] = thread
            try:
                stock(thread)
            except BaseException:
                del self.known[number], self.alive[number]
                raise

        return start

    def _beginning(self, stock: Callable[[], object]) -> Callable[[], None]:
        def on_start() -> None:
            me = self._active.get(get_ident())  # none in a thread that is no object
            if me is None or _NUMBER in vars(me):
                stock()
                return
            number = vars(me)[_NUMBER] = self._thread()
            self.known[number] = me
            stock()
            self.alive[number] = me

        return on_start

    def _ending(self, stock: Callable[[], object] | None) -> Callable[[], None]:
        def on_end() -> None:
            me = self._active.get(get_ident())
            number: _Number = None if me is None else vars(me).get(_NUMBER)
            self.alive.pop(number, None)
            try:
                if stock is not None:
                    stock()
            finally:
                self.known.pop(number, None)
                self._made.pop(self._thread(), None)

        return on_end


def numbered(target: Any, system: Any) -> SimpleNamespace:
    """``_thread`` of a module that only compares threads, or names things by them: numbers of the tape."""
    live, number = target.get_ident, system._thread_id.get

    def get_ident() -> int:
        thread: int | None = number()
        return live() if thread is None else thread

    return SimpleNamespace(get_ident=get_ident)
