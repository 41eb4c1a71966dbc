"""The tape of changed code, without an engine."""

from __future__ import annotations

import gc
import threading
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import retracesoftware.proxy.io as engine_io

from loadgen.traced import aligned
from loadgen.traced.aligned import AlignedBindings, AlignedTape
from loadgen.traced.lanes import Lane
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import ENTER, FINISH, LiveLock, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made here is not the process's tape for the tests that follow."""
    for kind in (TapeTurns, OrderedBindings):
        monkeypatch.setattr(kind, "current", None, raising=False)


def test_a_request_has_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its own thread and one that reads ahead see it first at the same moment."""
    both, found = threading.Barrier(2), list[Lane]()

    def made(*args: Any) -> Lane:
        both.wait(10)
        return Lane(*args)

    monkeypatch.setattr(aligned, "Lane", made)
    tape = AlignedTape(lambda: None, thread_id=lambda: FIRST_THREAD, initial_thread_id=0)
    tape.counts = lambda number: SimpleNamespace(call=number)
    threads = [
        threading.Thread(target=lambda number=number: found.append(tape.lane(number)))
        for number in (None, FIRST_THREAD)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1] is tape.lane()


def test_objects_have_their_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that two requests bind at the same moment."""
    tape = AlignedTape(lambda: None, thread_id=lambda: FIRST_THREAD, initial_thread_id=0)
    bindings = AlignedBindings(tape)
    both, noted = threading.Barrier(2), dict[int, str]()

    def note_made(number: int) -> None:
        noted[number] = threading.current_thread().name
        both.wait(10)

    tape.started = True
    monkeypatch.setattr(tape, "feeding", lambda: True)
    monkeypatch.setattr(tape, "note_made", note_made)
    monkeypatch.setattr(bindings, "_peek_item", lambda **_: engine_io._BindOpenEvent(7))
    monkeypatch.setattr(bindings, "_discard_peeked", lambda: None)
    made = [object(), object()]
    threads = [threading.Thread(target=bindings.bind, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(noted) == len({bindings.handles[id(one)] for one in made}) == len(made)


class Replay:
    """The replay of a tape with many requests, *users* at a time, in one thread that plays all threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, requests: int, users: int = 4) -> None:
        self.thread = 0
        self.users, self.numbers = users, range(1, requests + 1)
        items = list[tuple[int, Any]]()
        for seq, event in self.events():
            items += ((FIRST_THREAD + seq, item) for item in ("CHECKPOINT", (event, seq)))
        self.tape = AlignedTape(lambda: None, thread_id=lambda: self.thread, initial_thread_id=0)
        self.tape.counts = lambda _: SimpleNamespace(call=0)
        self.tape.started = True
        monkeypatch.setattr(self.tape, "_next", iter(items).__next__)

    def events(self) -> Iterator[tuple[int, str | bytes]]:
        """Yield what happens, in the order of the tape: requests overlap."""
        for at in range(0, len(self.numbers), self.users):
            together = self.numbers[at : at + self.users]
            yield from ((seq, ENTER) for seq in together)
            yield from ((seq, FINISH) for seq in reversed(together))

    def run(self) -> Iterator[int]:
        """Replay it; yield how many threads wait for their turns after each step."""
        for seq, event in self.events():
            self.thread = FIRST_THREAD + seq
            self.tape.checkpoint((event, seq))
            with self.tape:
                pass
            self.tape.lane().runs = False  # as where it waits for the result of a call
            if event == FINISH:
                self.tape.on_end()
            yield len(self.tape.state()["waiting"])


def test_the_tape_is_read_no_further_than_running_requests_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the end of a request was read before it began, for another one."""
    assert max(Replay(monkeypatch, 400).run()) <= 8


@pytest.mark.parametrize("beside", [False, True])
def test_a_step_costs_the_same_however_long_the_run(
    monkeypatch: pytest.MonkeyPatch,
    beside: bool,  # noqa: FBT001
) -> None:
    """Also if another thread of the application has read the tape to its end: counted are lanes looked at."""
    looked = count()

    class Counted(Lane):
        def __getattribute__(self, name: str) -> Any:
            if name == "next":
                next(looked)
            return super().__getattribute__(name)

    def cost(requests: int) -> int:
        replay = Replay(monkeypatch, requests)
        running = replay.run()
        next(running)
        if beside:
            replay.thread = 1
            replay.tape.sync()
        before = next(looked)
        for _ in running:
            pass
        return next(looked) - before

    monkeypatch.setattr(aligned, "Lane", Counted)
    monkeypatch.setattr(AlignedTape, "state", lambda _: {"waiting": []})
    assert cost(400) < 11 * cost(40)


def test_a_thread_is_woken_for_its_turn_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each step of the others."""
    replay = Replay(monkeypatch, 8, users=8)
    tape, threads = replay.tape, threading.local()
    monkeypatch.setattr(tape, "_thread_id", lambda: threads.number)
    slept = list[int]()

    def sleeps() -> LiveLock:
        slept.append(threads.number)
        return LiveLock()

    monkeypatch.setattr(aligned, "LiveLock", sleeps)

    def play(seq: int) -> None:
        threads.number = FIRST_THREAD + seq
        for event in (ENTER, FINISH):
            tape.checkpoint((event, seq))
            with tape:
                pass
        tape.on_end()

    playing = [threading.Thread(target=play, args=(seq,)) for seq in reversed(replay.numbers)]
    for thread in playing:
        thread.start()
    for thread in playing:
        thread.join()
    assert len(slept) <= 2 * len(playing)


def test_what_requests_did_is_not_visited_by_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay keeps it to its end, and collects as often as the recording did."""
    replay = Replay(monkeypatch, 400)
    gc.collect()
    before = len(gc.get_objects())
    for _ in replay.run():
        pass
    gc.collect()
    assert len(replay.tape.lanes) == 400
    assert len(gc.get_objects()) - before < 100
