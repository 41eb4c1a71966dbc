"""Who runs when: the one rule by which threads of the application replay in their recorded order.

*Whatever a traced thread may wait for is a call on the tape.* The engine does that for system calls: the item
before it says that the thread waits, the item behind it that it goes on, and with which result. Here the same
is done for what the interpreter's threads wait for among themselves: locks, of C's two types, wherever they
were made. All else in the standard library (conditions, events, semaphores, barriers, queues, futures, pools,
joins) is Python code on top of these; ``SimpleQueue``, which is not, has a Python version there, and gets it.
In a replay the result is read first, which takes until it is that thread's turn, and then the lock is really
taken: whoever held it has given it back by then.

So the order of the threads' *steps* is on the tape. What they do between two steps is not; there are two ways
to run it while recording. In ``parallel``, the interpreter switches where it likes, as in production, and
what two threads do to the same memory without a lock may come out otherwise in a replay. With ``turns``,
traced code of one thread at a time runs, and another goes on only where the one that runs makes a step that
may wait. Then the order of steps is the order of execution, and a replay that follows one repeats the other.
"""

from __future__ import annotations

import threading
from _thread import LockType, RLock, get_ident
from concurrent.futures import Future
from concurrent.futures import _base as futures_base
from functools import partial
from typing import TYPE_CHECKING, Any

from retracesoftware.proxy.system import CallHooks
from retracesoftware.proxy.typeutils import modify

from loadgen import protocol
from loadgen.traced import explore, settings
from loadgen.traced.installing import unseen
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns
from loadgen.traced.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TRACED = "internal"
"""Where the engine's gate is while a thread runs the application's own code."""

_LONGEST = 5.0
"""Seconds after which a replay that waits for a lock looks whether anybody can still give it back."""


def install(system: Any) -> None:
    """Have every thread that waits do so on the tape."""
    schedule, records = settings.CURRENT.schedule, system.retrace_mode == "record"
    if records and schedule == "turns":
        turn = Turn(partial(system.disable_for, unwrap_args=False))
        _take_turns(system, turn.enter, turn.leave, turn.leave)
    if schedule == "explore":
        chosen = explore.install(system)
        if chosen is not None:
            _take_turns(system, chosen.enter, chosen.leave, chosen.gone)
    _end_on_the_tape(system)
    _order(system)
    _number(system, (threading.Thread, Future))


def outside(system: Any) -> None:
    """Say that the calling thread leaves the traced world for long, as one that goes on to serve does."""
    gone = getattr(system, "loadgen_gone", None)
    if gone is not None:
        gone()
    turns = getattr(TapeTurns, "current", None)
    if turns is not None:
        turns.serve()


def announce(system: Any, thread: int, method: str, path: str) -> None:
    """Say which request *thread*, which is about to begin, will be."""
    turn = getattr(system, "loadgen_chosen", None)
    if turn is not None:
        turn.announce(thread, explore.label(method, path))


def _take_turns(
    system: Any, enter: Callable[[], None], leave: Callable[[], None], gone: Callable[[], None]
) -> None:
    """Give up the turn behind each item that says "waits", take it before each that says "goes on"."""

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
                leave()

        return call

    system.loadgen_gone = gone
    system.primary_hooks = CallHooks(*map(entering, system.primary_hooks))
    system.secondary_hooks = CallHooks(*map(leaving, system.secondary_hooks))
    hooks = system.lifecycle_hooks
    system.lifecycle_hooks = hooks._replace(on_start=entering(hooks.on_start), on_end=gone)


def _end_on_the_tape(system: Any) -> None:
    """Put the end of each thread on the tape: others run on behind it, and what it held is free by then."""
    hooks = system.lifecycle_hooks

    def on_end() -> None:
        try:
            if system.thread_id():
                system.sync()
        except Diverged:
            if system.thread_id() < settings.FIRST_THREAD:
                raise  # of a request all that is answered was on the tape
        finally:
            if hooks.on_end is not None:
                hooks.on_end()

    system.lifecycle_hooks = hooks._replace(on_end=on_end)


def _order(system: Any) -> None:
    """Put every wait for a lock on the tape."""
    location, replay = system.gate.get, system.retrace_mode == "replay"
    waiting: dict[int, Callable[[], bool]] = {}

    def wait_for() -> bool:
        return waiting[get_ident()]()

    wait_for.__module__, wait_for.__qualname__ = "loadgen", "lock"  # as it is shown
    wait = system.patch_function(wait_for)
    chosen = getattr(system, "loadgen_chosen", None)

    @unseen
    def ordered(attempt: Callable[..., bool], *how: Any) -> bool:
        """Make an *attempt* at its recorded place, with its recorded outcome."""
        if chosen is not None:
            waiting[get_ident()] = explore.taking(chosen, attempt, *how)
            try:
                return bool(wait())
            finally:
                waiting.pop(get_ident(), None)
        if OrderedBindings.current.at_sync() if replay else attempt(False):
            system.sync()  # there was nothing to wait for
            got = True
        else:
            waiting[get_ident()] = lambda: attempt(*how)
            try:
                got = wait()
            finally:
                waiting.pop(get_ident(), None)
        if replay and got:
            _really(attempt)
        return got

    for kind in (LockType, RLock):
        _order_locks(kind, location, ordered)
        if settings.CURRENT.schedule == "explore":
            explore.see_releases(kind, chosen, lambda: location() == _TRACED)


def _number(system: Any, kinds: tuple[type, ...]) -> None:
    """Give objects of some *kinds* a hash that is not their address: pools join the set of their threads."""
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

    for kind in kinds:
        kind.__hash__ = number  # type: ignore[method-assign,assignment]

    def in_order(self: Any, futures: Iterable[Future[Any]]) -> None:
        self.futures = sorted(futures, key=hash)

    # Whoever waits for several futures takes their locks, by the order of their addresses.
    acquiring: Any = futures_base._AcquireFutures
    acquiring.__init__ = in_order


def _really(attempt: Callable[..., bool]) -> None:
    """Do in a replay what was recorded as done: it has become possible, or will in a moment."""
    while not attempt(True, _LONGEST):
        if departed := TapeTurns.current.departed():
            what = "this waits for what a request that left the tape would have done"
            raise Diverged(protocol.LOST_TURN, what, lost=departed[0])


def _order_locks(kind: Any, location: Callable[[], object], ordered: Callable[..., bool]) -> None:
    take = kind.acquire

    @unseen
    def acquire(lock: Any, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
        if location() != _TRACED:
            return bool(take(lock, blocking, timeout))
        return ordered(partial(take, lock), blocking, timeout)

    with modify(kind):
        kind.acquire = kind.__enter__ = acquire
        if hasattr(kind, "acquire_lock"):
            kind.acquire_lock = acquire
        if hasattr(kind, "_acquire_restore"):  # of a condition that has waited, which held the lock so often
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
