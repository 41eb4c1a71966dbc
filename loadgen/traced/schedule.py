"""Thread scheduling: how threads of the application replay in their recorded order.

*Everything that a traced thread may wait for is a call on the tape.* The engine does so for system calls: the
item before a call says that the thread waits, the item after it says that it continues, and with which
result. This module does the same for locks, of both C types, wherever they were created. Everything else in
the standard library (conditions, events, semaphores, barriers, queues, futures, pools, joins) is Python code
on top of locks;
``SimpleQueue`` is not, and is replaced by its Python version. A replay first reads the result, which blocks
until it is the thread's turn, and then takes the real lock, which its holder has released by then.

So the order of the threads' *steps* is on the tape. What threads do between two steps is not, and can run in
two ways while recording. With ``parallel``, the interpreter switches anywhere, as in production, and unlocked
access to shared memory may give a different result in a replay. With ``turns``, one thread at a time runs
traced code, and another continues only when the running one makes a step that may wait. Then the order of
steps is the order of execution, and a replay that repeats the one repeats the other.
"""

from __future__ import annotations

import threading
from _thread import LockType, RLock, get_ident
from concurrent.futures import Future
from concurrent.futures import _base as futures_base
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from retracesoftware.proxy.system import CallHooks
from retracesoftware.proxy.typeutils import modify

from loadgen import protocol
from loadgen.traced import explore, settings
from loadgen.traced.aligned import AlignedTape
from loadgen.traced.described import LOCK
from loadgen.traced.installing import unseen
from loadgen.traced.locks import Names
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns
from loadgen.traced.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TRACED = "internal"
"""State of the engine's gate while a thread runs the application's own code."""

_LONGEST = 5.0
"""Seconds after which a replay that waits for a lock checks whether its holder can still release it."""


def install(system: Any) -> None:
    """Record every wait of a thread."""
    schedule, records = settings.CURRENT.schedule, system.retrace_mode == "record"
    if records and schedule == "turns":
        turn = Turn(partial(system.disable_for, unwrap_args=False))
        _take_turns(system, turn.enter, turn.leave, turn.leave)
    if schedule == "explore":
        chosen = explore.install(system)
        if chosen is not None:
            _take_turns(system, chosen.enter, chosen.leave, chosen.gone)
    names = Names(lambda: bool(system.gate.get() == _TRACED), system.thread_id)
    names.install()
    _end_on_the_tape(system, names)
    _order(system, names)
    for kind in (threading.Thread, Future):
        numbered(kind, system)
    _wait_for_futures_in_order()


def outside(system: Any) -> None:
    """Note that the calling thread leaves traced code for a long time, for example to serve."""
    gone = getattr(system, "loadgen_gone", None)
    if gone is not None:
        gone()
    turns = getattr(TapeTurns, "current", None)
    if turns is not None:
        turns.serve()


def announce(system: Any, thread: int, method: str, path: str) -> None:
    """Announce the request of *thread*, which is about to begin."""
    turn = getattr(system, "loadgen_chosen", None)
    if turn is not None:
        turn.announce(thread, explore.label(method, path))


@contextmanager
def keeping_the_turn(system: Any) -> Iterator[None]:
    """Let the calling thread keep its turn during calls that wait for nobody.

    It may hold a lock that is not on the tape, as in an import: another thread would get the turn, and wait
    for that lock.
    """
    kept: set[int] = getattr(system, "loadgen_kept", set())
    kept.add(get_ident())
    try:
        yield
    finally:
        kept.discard(get_ident())


def _take_turns(
    system: Any, enter: Callable[[], None], leave: Callable[[], None], gone: Callable[[], None]
) -> None:
    """Give up the turn after each item that says "waits", and take it before each that says "continues"."""
    kept = system.loadgen_kept = set[int]()

    def entering(hook: Callable[..., Any]) -> Callable[..., Any]:
        @unseen
        def call(*args: Any, **kwargs: Any) -> Any:
            enter()
            return hook(*args, **kwargs)

        return call

    def leaving(hook: Callable[..., Any]) -> Callable[..., Any]:
        @unseen
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return hook(*args, **kwargs)
            finally:
                if not kept or get_ident() not in kept:
                    leave()

        return call

    system.loadgen_gone = gone
    system.primary_hooks = CallHooks(*map(entering, system.primary_hooks))
    system.secondary_hooks = CallHooks(*map(leaving, system.secondary_hooks))
    hooks = system.lifecycle_hooks
    system.lifecycle_hooks = hooks._replace(on_start=entering(hooks.on_start), on_end=gone)


def _end_on_the_tape(system: Any, names: Names) -> None:
    """Record the end of each thread: its locks are free by then, and other threads run after it."""
    hooks = system.lifecycle_hooks
    bindings = getattr(OrderedBindings, "current", None)  # of a replay

    def on_end() -> None:
        try:
            if system.thread_id():
                system.sync()
        except Diverged:
            if system.thread_id() < settings.FIRST_THREAD:
                raise  # for a request, everything in the answer was on the tape
        finally:
            names.ended(system.thread_id())
            if hooks.on_end is not None:
                hooks.on_end()
            if bindings is not None:
                bindings.ended(system.thread_id())

    system.lifecycle_hooks = hooks._replace(on_end=on_end)


def _order(system: Any, names: Names) -> None:
    """Record every wait for a lock."""
    location, replay = system.gate.get, system.retrace_mode == "replay"
    waiting: dict[int, Callable[[], bool]] = {}

    def wait_for(step: str) -> bool:
        del step  # it is on the tape
        return waiting[get_ident()]()

    wait_for.__module__, wait_for.__qualname__ = LOCK.split(".")  # as it is shown
    wait = system.patch_function(wait_for)
    chosen = getattr(system, "loadgen_chosen", None)
    tape = getattr(TapeTurns, "current", None)
    took = getattr(system, "loadgen_took", lambda _: system.sync())

    @unseen
    def ordered(step: str, attempt: Callable[..., bool], *how: Any) -> bool:
        """Make an *attempt* to take a lock at its recorded position, with its recorded outcome."""
        if chosen is not None:
            waiting[get_ident()] = explore.taking(chosen, attempt, *how)
            try:
                return bool(wait(step))
            finally:
                waiting.pop(get_ident(), None)
        if aligned is not None:
            return bool(aligned(step, attempt, *how))
        if OrderedBindings.current.at_sync() if replay else attempt(False):
            took(step)  # there was nothing to wait for
            got = True
        else:
            waiting[get_ident()] = lambda: attempt(*how)
            try:
                got = wait(step)
            finally:
                waiting.pop(get_ident(), None)
        if replay and got:
            _really(attempt)
        return got

    aligned = system.disable_for(tape.take, unwrap_args=False) if isinstance(tape, AlignedTape) else None
    for kind in (LockType, RLock):
        _order_locks(kind, location, names.step, ordered)
        if settings.CURRENT.schedule == "explore":
            explore.see_releases(kind, chosen, lambda: location() == _TRACED)


def numbered(kind: type, system: Any) -> type:
    """Give objects of a *kind* another hash than their address, because libraries iterate over sets of them.

    Thread pools do so with threads and futures. SQLAlchemy does with indexes and constraints: the order of
    its ``CREATE`` statements would be that of their addresses. For those, this is a ``system_wrap`` of the
    overlay.
    """
    location, thread = system.gate.get, system.thread_id
    made: dict[int, int] = {}

    @unseen
    def number(self: Any) -> int:
        here = self.__dict__
        if "_loadgen_hash" not in here:
            if location() == _TRACED:
                made[thread()] = made.get(thread(), 0) + 1
                here["_loadgen_hash"] = hash((thread(), made[thread()]))
            else:
                here["_loadgen_hash"] = object.__hash__(self)
        return int(here["_loadgen_hash"])

    kind.__hash__ = number  # type: ignore[method-assign,assignment]
    return kind


def _wait_for_futures_in_order() -> None:
    """A wait for several futures takes their locks in the order of their addresses."""

    def in_order(self: Any, futures: Iterable[Future[Any]]) -> None:
        self.futures = sorted(futures, key=hash)

    acquiring: Any = futures_base._AcquireFutures
    acquiring.__init__ = in_order


def _really(attempt: Callable[..., bool]) -> None:
    """Take in a replay the lock that was taken while recording: it is free, or will be in a moment."""
    while not attempt(True, _LONGEST):
        if (departed := TapeTurns.current.departed()) and not TapeTurns.current.held:
            what = "this waits for what a request that left the tape would have done"
            raise Diverged(protocol.LOST_TURN, what, lost=departed[0])


def _order_locks(
    kind: Any, location: Callable[[], object], step: Callable[[Any], str], ordered: Callable[..., bool]
) -> None:
    take = kind.acquire

    @unseen
    def acquire(lock: Any, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
        if location() != _TRACED:
            return bool(take(lock, blocking, timeout))
        return ordered(step(lock), partial(take, lock), blocking, timeout)

    with modify(kind):
        kind.acquire = kind.__enter__ = acquire
        if hasattr(kind, "acquire_lock"):
            kind.acquire_lock = acquire
        if hasattr(
            kind, "_acquire_restore"
        ):  # for a condition's wait, which restores the lock's recursion count
            restore = kind._acquire_restore

            @unseen
            def acquire_restore(lock: Any, state: tuple[int, int]) -> None:
                if location() != _TRACED:
                    restore(lock, state)
                    return
                acquire(lock)
                for _ in range(state[0] - 1):
                    take(lock)

            kind._acquire_restore = acquire_restore
