"""The tape's turns, with a tape of the test's own in place of a recording."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import retracesoftware.proxy.io as engine_io
from retracesoftware import stream

from loadgen import protocol
from loadgen.traced.tape import FINISH, Diverged, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STOCK_SOURCE, STOCK_BINDINGS = engine_io._ThreadDemuxSource, engine_io._ReplayBindingState
ENDED = RuntimeError("Could not read: 1 bytes from tracefile")


class Tape:
    """A tape in memory, and logical threads that read it."""

    def __init__(
        self, items: Iterable[Any], *, stock: bool = False, normalize: Callable[..., Any] | None = None
    ) -> None:
        self._items = iter(items)
        self._thread = threading.local()
        raw = engine_io._RawTapeSource(self._next)
        make = STOCK_SOURCE if stock else TapeTurns
        self.turns = make(raw.read, thread_id=lambda: self._thread.id, initial_thread_id=0)
        base = STOCK_BINDINGS if stock else OrderedBindings
        spied = {} if normalize is None else {"_normalize": normalize}
        self.bindings = type(base.__name__, (base,), spied)(self.turns)
        raw._on_bind_close = self.bindings.delete_handle
        self.seen: list[tuple[int, Any]] = []
        self.errors: list[tuple[int, BaseException]] = []

    def _next(self) -> Any:
        for item in self._items:
            return item() if callable(item) else item
        raise ENDED

    def be(self, thread: int) -> None:
        """Make the calling OS thread a logical thread."""
        self._thread.id = thread

    def start(self, thread: int, work: Callable[[], None]) -> threading.Thread:
        """Run *work* as a logical thread."""

        def run() -> None:
            self.be(thread)
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.errors.append((thread, error))

        started = threading.Thread(target=run, daemon=True)
        started.start()
        return started

    def reads(self, thread: int, count: int) -> threading.Thread:
        """Let a logical thread read *count* items."""

        def work() -> None:
            for _ in range(count):
                item = self.bindings.read()
                self.seen.append((thread, item))

        return self.start(thread, work)


def switch(thread: int) -> tuple[str, int]:
    """Return the marker of a switch of threads."""
    return ("THREAD_SWITCH", thread)


def tape_of(*steps: tuple[int, Any]) -> list[Any]:
    """Return the items of a tape on which each step belongs to a thread."""
    return [item for thread, value in steps for item in (*switch(thread), value)]


def test_threads_follow_the_tape() -> None:
    """Whatever thread comes first, items are handed out in the order of the tape, each to its owner."""
    steps = [(1 + (n * n) % 5, n) for n in range(200)]
    for attempt in range(20):
        tape = Tape(tape_of(*steps))
        order = range(1, 6) if attempt % 2 else range(5, 0, -1)
        threads = [tape.reads(thread, sum(1 for owner, _ in steps if owner == thread)) for thread in order]
        for thread in threads:
            thread.join(5)
        assert not tape.errors
        assert sorted(tape.seen, key=lambda one: one[1]) == steps
        for owner in range(1, 6):
            assert [n for thread, n in tape.seen if thread == owner] == [n for o, n in steps if o == owner]


@pytest.mark.slow
@pytest.mark.parametrize("stock", [False, True])
def test_patience(*, stock: bool) -> None:
    """Threads wait for a request that comes late; the stock dispatcher gives up after a second."""
    tape = Tape(tape_of((1, "first"), (2, "second"), (3, "third")), stock=stock)
    early = [tape.reads(3, 1), tape.reads(2, 1)]
    time.sleep(1.5)
    late = tape.reads(1, 1)
    for thread in (*early, late):
        thread.join(3)
    if stock:
        assert "too many threads waiting" in str(tape.errors[0][1])
    else:
        assert not tape.errors
        assert tape.seen == [(1, "first"), (2, "second"), (3, "third")]


def test_a_thread_that_is_over_leaves_nothing() -> None:
    """A replay of a million requests has a million threads."""
    tape = Tape(tape_of((1, "first"), (2, "second")))
    for thread in (1, 2):
        tape.be(thread)
        assert not tape.bindings.at_sync()  # the engine, too, looks at items before it reads them
        tape.bindings.read()
        tape.bindings.ended(thread)
    turns = tape.turns
    assert (tape.bindings._buffers, turns._depth, turns._waiting, turns._finishing) == ({}, {}, {}, set())


def test_a_waiting_thread_keeps_nothing_of_another_ones_items() -> None:
    """What an item refers to dies with its reader's last reference, on the reader's thread.

    An error that is raised refers to all variables on its way, whose finalizers are on the tape.
    """
    freed: list[int] = []

    class FreedError(Exception):
        def __del__(self) -> None:
            freed.append(threading.get_ident())

    tape = Tape([*switch(1), "first", FreedError, *switch(2), "last"])
    waits = tape.reads(2, 1)
    while 2 not in tape.turns.state()["waiting"]:  # it has seen the head of the tape
        time.sleep(0.001)

    def read_both() -> None:
        assert tape.bindings.read() == "first"
        again = tape.reads(3, 1)  # sees the next head
        while 3 not in tape.turns.state()["waiting"]:
            time.sleep(0.001)
        tape.bindings.read()
        tape.seen.append((1, tuple(freed)))
        del again

    reader = tape.start(1, read_both)
    reader.join(5)
    waits.join(5)
    assert tape.seen[0] == (1, (reader.ident,))


@pytest.mark.slow
@pytest.mark.parametrize("stock", [False, True])
def test_binding_deleted_behind_the_item_that_uses_it(*, stock: bool) -> None:
    """An item is resolved before the tape moves on: what stands behind it may delete its binding.

    Thread 1 takes an item and is held up before it can resolve it; thread 2 asks meanwhile.
    """
    deleted = threading.Event()
    taken = threading.Event()
    binding: Any = stream.Binder().bind(object())
    items = ["NEW_BINDING", binding.handle, binding, "BINDING_DELETE", binding.handle, *switch(2), "next"]

    def held_up(bindings: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if value is binding and kwargs.get("resolve", True):
            taken.set()
            deleted.wait(0.5)
        return STOCK_BINDINGS._normalize(bindings, value, *args, **kwargs)

    tape = Tape([*switch(1), *items], stock=stock, normalize=held_up)
    bound = object()

    def first() -> None:
        tape.bindings.bind(bound)
        tape.seen.append((1, tape.bindings.read()))

    def second() -> None:
        taken.wait(2)
        tape.bindings.read()
        deleted.set()

    threads = [tape.start(1, first), tape.start(2, second)]
    for thread in threads:
        thread.join(3)
    if stock:
        assert isinstance(tape.errors[0][1], KeyError)
    else:
        assert not tape.errors
        assert tape.seen == [(1, bound)]


def test_end_of_the_tape() -> None:
    """Everybody who waits when the tape ends is told so."""
    tape = Tape(tape_of((1, "only")))
    threads = [tape.reads(2, 1), tape.reads(3, 1), tape.reads(1, 2)]
    for thread in threads:
        thread.join(3)
    assert tape.seen == [(1, "only")]
    assert sorted(thread for thread, _ in tape.errors) == [1, 2, 3]
    assert {getattr(error, "code", "") for _, error in tape.errors} == {protocol.RECORDING_ENDS}


def test_a_value_that_cannot_be_read() -> None:
    """Everybody is told, with the error, that the tape cannot be read on, which is not its end."""

    def unreadable() -> Any:
        raise TypeError("no such class")

    tape = Tape([*tape_of((1, "before")), *switch(2), unreadable])
    threads = [tape.reads(2, 1), tape.reads(1, 2)]
    for thread in threads:
        thread.join(3)
    assert tape.seen == [(1, "before")]
    assert {getattr(error, "code", "") for _, error in tape.errors} == {protocol.RECORDING_UNREADABLE}
    assert {str(error) for _, error in tape.errors} == {"TypeError: no such class"}


def test_what_a_serving_thread_did_last() -> None:
    """It did so when it was stopped. In a replay it goes on serving, and others come to the tape's end."""
    tape = Tape(tape_of((1, "before"), (2, "request"), (1, "stopped")))

    def serve() -> None:
        tape.bindings.read()
        TapeTurns.current.serve()

    main = tape.start(1, serve)
    main.join(3)
    request = tape.reads(2, 2)
    request.join(0.2)
    assert request.is_alive()
    TapeTurns.current.all_sent()
    request.join(3)
    assert tape.seen == [(2, "request")]
    assert [getattr(error, "code", "") for _, error in tape.errors] == [protocol.RECORDING_ENDS]


def test_thread_that_left() -> None:
    """What the tape still holds for a request that left it is skipped, so that the others go on."""
    tape = Tape(tape_of((1, "a"), (2, "b"), (1, "c"), (1, "d"), (2, "e")))
    other = tape.reads(2, 2)
    tape.reads(1, 1).join(3)
    tape.be(1)
    tape.turns.leave()
    other.join(3)
    assert tape.seen == [(1, "a"), (2, "b"), (2, "e")]
    tape.be(1)
    with pytest.raises(Diverged) as raised:
        tape.bindings.read()
    assert raised.value.code == protocol.ALREADY_LEFT


def test_one_call_too_many() -> None:
    """A thread that reads on where its request ended is told, and does not take the end for a result."""
    tape = Tape(tape_of((1, "a"), (1, (FINISH, 1))))
    tape.reads(1, 2).join(3)
    assert getattr(tape.errors[0][1], "code", "") == protocol.CALL_NOT_RECORDED


def test_state_says_who_is_waited_for() -> None:
    """A stuck replay can be asked whose turn it is, and who waits."""
    tape = Tape(tape_of((7, "a"), (8, "b")))
    tape.reads(8, 1)
    deadline = time.monotonic() + 3
    while tape.turns.state()["waiting"] != [8] and time.monotonic() < deadline:
        time.sleep(0.01)
    state = tape.turns.state()
    assert (state["next"], state["waiting"], state["ended"]) == (7, [8], None)
    tape.reads(7, 1).join(3)


def test_nested_turns() -> None:
    """Notes taken within a turn are in the order of the tape, however threads are scheduled."""
    steps = [(1 + n % 3, n) for n in range(300)]
    tape = Tape(tape_of(*steps))
    notes: list[int] = []

    def work() -> None:
        for _ in range(100):
            with tape.turns:
                notes.append(tape.bindings.read())

    threads = [tape.start(thread, work) for thread in (3, 1, 2)]
    for thread in threads:
        thread.join(5)
    assert notes == list(range(300))


def binding(index: int) -> tuple[Any, ...]:
    """Return the item that announces an object with the handle *index*."""
    return (stream._BIND_OPEN_TAG, index)


def test_an_object_of_a_request_that_left_is_missed_by_name() -> None:
    """Who needs what a lost request would have made is told whose it was; it is no failure of the engine."""
    tape = Tape(tape_of((1, "a"), (1, binding(866)), (2, stream.Binding(866))))
    tape.reads(1, 1).join(3)
    tape.be(1)
    tape.turns.leave()
    tape.reads(2, 1).join(3)
    ((thread, error),) = tape.errors
    assert isinstance(error, Diverged)
    assert (thread, error.code, error.lost) == (2, protocol.LOST_OBJECT, 1)


def test_an_object_that_nobody_lost_is_the_engines() -> None:
    """Where no request has left the tape, a handle that it does not know is a failure of the engine."""
    tape = Tape(tape_of((1, "a"), (2, stream.Binding(866))))
    tape.reads(1, 1).join(3)
    tape.reads(2, 1).join(3)
    ((_, error),) = tape.errors
    assert isinstance(error, Diverged)
    assert (error.code, error.lost) == (protocol.ENGINE_CANNOT_READ, None)


def test_threads_leave_in_order() -> None:
    """Who left first is known, and leaving twice changes nothing."""
    tape = Tape(tape_of((1, "a")))
    for thread in (5, 3, 5):
        tape.be(thread)
        tape.turns.leave()
    assert tape.turns.departed() == [5, 3]
