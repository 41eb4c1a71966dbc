"""The order of threads while recording and in a replay, with fakes in place of the engine."""

from __future__ import annotations

import threading
from concurrent.futures import _base as futures_base
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from retracesoftware.proxy.system import CallHooks, LifecycleHooks

from loadgen import protocol
from loadgen.traced import schedule
from loadgen.traced.locks import Names
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import Diverged, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable


class Engine:
    """The hooks of the engine, each of which says that it was called."""

    def __init__(self, thread: int = 1) -> None:
        self.said: list[str] = []
        self.primary_hooks = CallHooks(*(self._says(f"primary {name}") for name in CallHooks._fields))
        self.secondary_hooks = CallHooks(*(self._says(f"secondary {name}") for name in CallHooks._fields))
        self.lifecycle_hooks = LifecycleHooks(self._says("start"), self._says("end"))
        self.thread: int | None = thread
        self.sync: Callable[[], None] = self._says("sync")
        self.loadgen_gone: Any = None

    def thread_id(self) -> int | None:
        return self.thread

    def _says(self, what: str) -> Callable[..., None]:
        def hook(*args: Any, **kwargs: Any) -> None:
            self.said.append(what)

        return hook


def taking_turns() -> Engine:
    engine = Engine()
    schedule._take_turns(
        engine,
        lambda: engine.said.append("> enter"),
        lambda: engine.said.append("leave >"),
        lambda: engine.said.append("gone >"),
    )
    return engine


@pytest.mark.parametrize("hook", CallHooks._fields)
def test_the_turn_is_taken_before_an_item_and_given_up_behind_the_next(hook: str) -> None:
    """A thread enters before what says that it goes on, and leaves behind what says that it waits."""
    engine = taking_turns()
    getattr(engine.primary_hooks, hook)()
    getattr(engine.secondary_hooks, hook)()
    assert engine.said == ["> enter", f"primary {hook}", f"secondary {hook}", "leave >"]


def test_a_hook_that_fails_gives_the_turn_up() -> None:
    """Nobody waits for a thread that raised on its way out."""
    engine = Engine()

    def failing(*args: Any) -> None:
        raise OSError("the disk is full")

    engine.secondary_hooks = engine.secondary_hooks._replace(on_call=failing)
    schedule._take_turns(engine, lambda: None, lambda: engine.said.append("leave >"), lambda: None)
    with pytest.raises(OSError, match="full"):
        engine.secondary_hooks.on_call()
    assert engine.said == ["leave >"]


def test_a_thread_begins_with_its_turn_and_ends_without() -> None:
    """Its end is the last of it that is on the tape."""
    engine = taking_turns()
    engine.lifecycle_hooks.on_start()
    engine.lifecycle_hooks.on_end()
    assert engine.said == ["> enter", "start", "gone >"]


def test_who_leaves_for_long_gives_the_turn_up() -> None:
    """As a thread that goes on to serve; under the schedule of the machine there is nothing to give up."""
    engine = taking_turns()
    schedule.outside(engine)
    assert engine.said == ["gone >"]
    schedule.outside(Engine())


def test_the_end_of_a_thread_is_on_the_tape() -> None:
    """Others run on behind it, and what it held is free by then; what is no thread of the tape is not."""
    engine = Engine()
    schedule._end_on_the_tape(engine, Names(lambda: True, lambda: 1))
    engine.lifecycle_hooks.on_end()
    assert engine.said == ["sync", "end"]
    engine.thread = None
    engine.lifecycle_hooks.on_end()
    assert engine.said == ["sync", "end", "end"]


@pytest.mark.parametrize(("thread", "raises"), [(FIRST_THREAD + 1, False), (1, True)])
def test_an_end_that_is_not_on_the_tape(thread: int, *, raises: bool) -> None:
    """All that a request answered was on the tape before; a thread of the application's own has diverged."""
    engine = Engine(thread)

    def departs() -> None:
        raise Diverged(protocol.RECORDING_ENDS, "the recording ends here")

    engine.sync = departs
    schedule._end_on_the_tape(engine, Names(lambda: True, lambda: 1))
    if raises:
        with pytest.raises(Diverged):
            engine.lifecycle_hooks.on_end()
    else:
        engine.lifecycle_hooks.on_end()
    assert engine.said == ["end"]


def test_a_replay_takes_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for whoever gives the lock back, unless that has left the tape and never will."""
    departed: list[int] = []
    monkeypatch.setattr(
        TapeTurns,
        "current",
        SimpleNamespace(departed=lambda: departed, held=False, note_first=lambda error: None),
        raising=False,
    )
    attempts = iter([False, False, True])
    schedule._really(lambda *how: next(attempts))
    departed.append(7)
    with pytest.raises(Diverged) as failed:
        schedule._really(lambda *how: False)
    assert (failed.value.code, failed.value.lost) == (protocol.LOST_TURN, 7)


@pytest.fixture
def _stock_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what is replaced for the whole process."""
    acquiring: Any = futures_base._AcquireFutures
    monkeypatch.setattr(acquiring, "__init__", acquiring.__init__)


@pytest.mark.usefixtures("_stock_order")
def test_objects_in_sets_are_ordered_as_they_were_made() -> None:
    """A hash that is the address would order the threads of a pool by chance."""

    class Worker:
        pass

    engine = SimpleNamespace(thread_id=lambda: 3, gate=SimpleNamespace(get=lambda: "internal"))
    schedule.numbered(Worker, engine)
    hashes = [hash(Worker()) for _ in range(3)]
    assert hashes == [hash((3, number)) for number in (1, 2, 3)]
    one = Worker()
    assert hash(one) == hash(one)


@pytest.mark.usefixtures("_stock_order")
def test_what_is_made_off_the_tape_has_its_own_hash() -> None:
    """It takes no number from those on the tape."""

    class Worker:
        pass

    place = ["external"]
    engine = SimpleNamespace(thread_id=threading.get_ident, gate=SimpleNamespace(get=lambda: place[0]))
    schedule.numbered(Worker, engine)
    off = Worker()
    assert hash(off) == object.__hash__(off)
    place[0] = "internal"
    assert hash(Worker()) == hash((threading.get_ident(), 1))
