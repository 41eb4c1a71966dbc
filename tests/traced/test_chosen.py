"""The scheduler of ``explore``, with the test's own threads instead of an application's."""

from __future__ import annotations

import threading
import time
from _thread import LockType
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.traced import chosen
from loadgen.traced.chosen import ChosenTurn, Deadlock
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.strategies import Choice, Script, Strategy, make

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

A, B, C = (FIRST_THREAD + number for number in (1, 2, 3))
SOON = 20.0


class Stage:
    """Runs functions as traced threads under a turn, and notes what they do, in order."""

    def __init__(self, strategy: Strategy, users: int, *, scripted: bool = False) -> None:
        self.numbers: dict[int, int] = {}
        self.schedule: list[dict[str, Any]] = []
        self.done: list[str] = []
        self.errors: dict[int, BaseException] = {}
        self.turn = ChosenTurn(
            strategy,
            lambda: self.numbers[threading.get_ident()],
            lambda frame: "here" if frame else "",
            self.schedule.append,
            users=users,
            scripted=scripted,
        )
        self._threads: list[threading.Thread] = []
        self._points: dict[int, int] = {}

    def start(self, number: int, body: Callable[[], None]) -> None:
        def run() -> None:
            self.numbers[threading.get_ident()] = number
            self.turn.announce(number, "GET /")
            self.turn.enter()
            try:
                body()
            except Deadlock as error:
                self.errors[number] = error
                self.turn.enter()
            finally:
                self.turn.gone()

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(SOON)
        assert not any(thread.is_alive() for thread in self._threads), "it hangs"

    def line(self, text: str) -> None:
        """Run a line of the application: a point before it."""
        me = self.numbers[threading.get_ident()]
        self._points[me] = self._points.get(me, 0) + 1
        self.turn.point("line", self._points[me], lambda: text, lambda: self.done.append("|"))
        self.done.append(text)

    def call(self, body: Callable[[], Any]) -> Any:
        """Make a call that is on the tape."""
        self.turn.leave()
        try:
            return body()
        finally:
            self.turn.enter()

    def take(self, lock: Any, *how: Any) -> bool:
        return bool(self.call(partial(self.turn.acquire, lock, partial(LockType.acquire, lock), *how)))

    def give(self, lock: Any) -> None:
        lock.release()
        self.turn.released(lock)

    def choices(self) -> list[tuple[Any, ...]]:
        return [
            (entry["choice"], entry["thread"], entry["step"], entry["to"])
            for entry in self.schedule
            if "choice" in entry
        ]


def lines(stage: Stage, name: str, count: int = 3) -> Callable[[], None]:
    def body() -> None:
        for number in range(count):
            stage.line(f"{name}{number}")

    return body


def test_nothing_is_marked_where_nothing_is_given_away() -> None:
    """Threads that are not stopped run one behind the other, and no mark is on the tape."""
    stage = Stage(make("none", 1, {}, None), 2)
    stage.start(A, lines(stage, "a"))
    stage.start(B, lines(stage, "b"))
    stage.finish()
    assert stage.done in (
        ["a0", "a1", "a2", "b0", "b1", "b2"],
        ["b0", "b1", "b2", "a0", "a1", "a2"],
    )


def test_a_preemption_is_marked_on_both_sides() -> None:
    """The thread that is stopped says how far it came; the other runs; the first says that it goes on."""
    script = Script([Choice(None, 0, "start", A), Choice(A, 3, "line", B)])
    stage = Stage(script, 2, scripted=True)
    stage.start(A, lines(stage, "a"))
    stage.start(B, lines(stage, "b"))
    stage.finish()
    assert stage.done == ["a0", "|", "b0", "b1", "b2", "|", "a1", "a2"]
    entry = next(one for one in stage.schedule if one.get("choice") == "line")
    assert (entry["thread"], entry["step"], entry["point"], entry["to"], entry["at"]) == (A, 3, 2, B, "a1")


@pytest.mark.parametrize("text", ["random:0.5", "pct:3", "pause:3"])
def test_the_schedule_says_enough_to_make_it_again(text: str) -> None:
    """The choices of any strategy, given back as a script, give the same order of lines."""

    def play(strategy: Strategy, *, scripted: bool) -> Stage:
        stage = Stage(strategy, 3, scripted=scripted)
        for number, name in ((A, "a"), (B, "b"), (C, "c")):
            stage.start(number, lines(stage, name, 6))
        stage.finish()
        return stage

    first = play(make(text, 3, {"GET /": 7}, None), scripted=False)
    script = Script([Choice(thread, step, kind, to) for kind, thread, step, to in first.choices()])
    # The first thread is chosen when nobody runs, which is no step of a thread: by the script's rank.
    again = play(script, scripted=True)
    assert "|" in first.done
    assert again.done == first.done


def test_a_lock_gives_the_turn_up_at_once() -> None:
    """Whoever cannot have a lock does not hold others up, and goes on when it is given back."""
    lock = threading.Lock()
    stage = Stage(Script([Choice(None, 0, "start", A), Choice(A, 3, "line", B)]), 2, scripted=True)

    def first() -> None:
        stage.take(lock)
        stage.line("a0")
        stage.give(lock)
        stage.line("a1")

    def second() -> None:
        stage.line("b0")
        stage.take(lock)
        stage.line("b1")
        stage.give(lock)

    stage.start(A, first)
    stage.start(B, second)
    stage.finish()
    assert stage.done == ["|", "b0", "|", "a0", "a1", "b1"]
    assert "lock" in [kind for kind, *_ in stage.choices()]


def test_a_lock_is_waited_for_as_long_as_it_says() -> None:
    """A wait with a time-out ends without the lock; one that must not wait does not."""
    lock = threading.Lock()
    stage = Stage(make("none", 1, {}, None), 1)
    seen: list[bool] = []

    def body() -> None:
        stage.take(lock)
        seen.append(stage.take(lock, True, 0.01))
        seen.append(stage.take(lock, False))

    stage.start(A, body)
    stage.finish()
    assert seen == [False, False]


def test_a_lock_may_be_given_back_off_the_tape() -> None:
    """A thread that waits for one that nobody on the tape has goes on when it is free."""
    lock = threading.Lock()
    lock.acquire()
    stage = Stage(make("none", 1, {}, None), 1)
    stage.start(A, lambda: stage.done.append(str(stage.take(lock))))
    threading.Timer(0.05, lock.release).start()
    stage.finish()
    assert stage.done == ["True"]


def test_a_deadlock_is_raised_in_who_closes_it() -> None:
    """Two threads that take two locks crosswise: one gets the error, the other both locks."""
    one, two = threading.Lock(), threading.Lock()
    stage = Stage(Script([Choice(None, 0, "start", A), Choice(A, 3, "line", B)]), 2, scripted=True)

    def crosswise(first: Any, second: Any, name: str) -> Callable[[], None]:
        def body() -> None:
            stage.take(first)
            try:
                stage.line(name)
                stage.take(second)
                stage.give(second)
            finally:
                stage.give(first)

        return body

    stage.start(A, crosswise(one, two, "a"))
    stage.start(B, crosswise(two, one, "b"))
    stage.finish()
    assert len(stage.errors) == 1
    assert "request 1" in str(next(iter(stage.errors.values())))
    (told,) = [entry["deadlock"] for entry in stage.schedule if "deadlock" in entry]
    assert {(wait["thread"], wait["holder"]) for wait in told} == {(A, B), (B, A)}


def test_a_lock_that_is_taken_again_is_told_by_its_first_line() -> None:
    """A lock that its thread may take more than once is held since the first time."""
    lock = threading.RLock()
    stage = Stage(make("none", 1, {}, None), 1)
    places = iter(("first", "second"))
    stage.turn._location = lambda _: next(places)

    def body() -> None:
        for _ in range(2):
            stage.call(partial(stage.turn.acquire, lock, lock.acquire))
            stage.done.append(stage.turn._locks._held[id(lock)][1])

    stage.start(A, body)
    stage.finish()
    assert stage.done == ["first", "first"]


@pytest.mark.slow
def test_a_thread_that_waits_for_itself_is_a_deadlock() -> None:
    """Where nobody moves any more, a lock that its own thread has is never given back."""
    lock = threading.Lock()
    stage = Stage(make("none", 1, {}, None), 1)

    def body() -> None:
        stage.take(lock)
        stage.take(lock)

    stage.start(A, body)
    stage.finish()
    assert isinstance(stage.errors[A], Deadlock)


def test_a_slow_call_loses_the_turn() -> None:
    """A thread in a long call does not hold others up; that it was slow is on the schedule."""
    release = threading.Event()
    stage = Stage(Script([Choice(None, 0, "start", A)]), 2, scripted=False)

    def slow() -> None:
        stage.call(lambda: release.wait(SOON))
        stage.line("a")

    def quick() -> None:
        stage.line("b")
        release.set()

    stage.start(A, slow)
    stage.start(B, quick)
    stage.finish()
    assert sorted(stage.done) == ["a", "b"]
    assert stage.done[0] == "b"


class LastFirst(Strategy):
    """Gives the turn to the thread with the highest number."""

    def after(self, thread: int | None, step: int, kind: str, ready: Sequence[int]) -> int:
        del thread, step, kind
        return max(ready)


def test_who_is_waited_for_in_a_loop_gets_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads ask for a lock again and again: its holder goes on, though they never wait for it."""
    monkeypatch.setattr(chosen, "STARVED", 0.2)
    stage = Stage(LastFirst(), 3)
    lock, held = threading.Lock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            stage.call(lambda: time.sleep(0.1))  # long enough to lose the turn
        stage.done.append("held")

    def poll() -> None:
        while not lock.acquire(blocking=False):
            stage.call(lambda: time.sleep(0.001))
        stage.done.append("got")
        lock.release()

    stage.start(A, hold)
    assert held.wait(SOON)
    stage.start(B, poll)
    stage.start(C, poll)
    stage.finish()
    assert stage.done == ["held", "got", "got"]
