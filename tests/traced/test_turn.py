"""Whose turn it is: an owner that waits off the tape loses it, one that is merely slow keeps it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from loadgen.traced import turn as module
from loadgen.traced.turn import OwnerState, Turn, look


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Turn:
    monkeypatch.setattr(module, "STALLED", 0.02)
    made = Turn(lambda function: function)
    made._say = said.append
    return made


def test_one_thread_at_a_time(turn: Turn) -> None:
    """Whoever has the turn runs alone."""
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(200):
            turn.enter()
            turn.enter()  # as often as it likes
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            turn.leave()

    run(*[work] * 4)
    assert most == [1]


def test_an_owner_that_waits_off_the_tape_loses_its_turn(turn: Turn, said: list[str]) -> None:
    """It may wait for the very thread that waits for the turn; where it waits is said."""
    has_it, go_on = threading.Event(), threading.Event()

    def owner() -> None:
        turn.enter()
        has_it.set()
        go_on.wait()
        turn.leave()  # which it has no more
        turn.leave()

    def other() -> None:
        has_it.wait()
        turn.enter()
        go_on.set()
        turn.leave()

    run(owner, other)
    assert "threading.py:" in "".join(said)
    turn.enter()
    turn.leave()


@pytest.mark.slow
def test_a_slow_owner_keeps_its_turn(turn: Turn, said: list[str]) -> None:
    """It computes: however long others wait, and however little of the machine it gets."""
    order: list[str] = []
    has_it = threading.Event()

    def owner() -> None:
        turn.enter()
        has_it.set()
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            sum(range(1000))
        order.append("owner")
        turn.leave()

    def other() -> None:
        has_it.wait()
        turn.enter()
        order.append("other")
        turn.leave()

    run(owner, other)
    assert order == ["owner", "other"]
    assert said == []


@pytest.mark.slow
def test_what_computes_for_too_long_loses_its_turn(
    turn: Turn, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """It may ask again and again for what another thread would have to do."""
    monkeypatch.setattr(module, "LONGEST", 0.1)
    done: list[bool] = []
    has_it = threading.Event()

    def owner() -> None:
        turn.enter()
        has_it.set()
        while not done:
            pass
        turn.leave()

    def other() -> None:
        has_it.wait()
        turn.enter()
        done.append(True)
        turn.leave()

    run(owner, other)
    assert "A replay may differ here" in "".join(said)


def test_a_look_keeps_nothing_of_the_owner_alive(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function of the owner frees at its end is freed there, though another thread looks then."""
    freed: list[int] = []
    has_it, looks, returned = threading.Event(), threading.Event(), threading.Event()

    class Held:
        def __del__(self) -> None:
            freed.append(threading.get_ident())

    def function() -> None:
        held = Held()
        has_it.set()
        assert looks.wait(10), held

    def owner() -> None:
        turn.enter()
        function()
        freed.append(0)
        returned.set()
        turn.leave()

    def other() -> None:
        def computed() -> float:
            looks.set()
            returned.wait(10)
            return 0.0

        has_it.wait()
        monkeypatch.setattr(time, "process_time", computed)
        turn.enter()
        turn.leave()

    run(owner, other)
    assert len(freed) == 2
    assert freed[1] == 0


@pytest.mark.slow
def test_an_owner_may_go_on_just_when_it_loses_its_turn(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is given back once, by whoever has it: many threads that stall at random never raise."""
    monkeypatch.setattr(module, "STALLED", 0.001)
    turn._look = lambda held: OwnerState(held, 0, 0, at_rest=True)
    failed: list[RuntimeError] = []

    def work() -> None:
        try:
            for number in range(150):
                turn.enter()
                time.sleep(0.001 if number % 3 else 0.004)
                turn.leave()
        except RuntimeError as error:
            failed.append(error)

    run(*[work] * 6)
    assert failed == []
    turn.enter()
    turn.leave()


def test_a_thread_that_runs_is_no_rest() -> None:
    """The kernel tells one that computes, or would if it were let, from one that waits."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            hash_of(b"x" * 5_000_000)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        assert not all(look((1, 0)).at_rest for _ in range(20))
    finally:
        stop.set()
        thread.join()


def hash_of(data: bytes) -> Any:
    import hashlib

    return hashlib.sha256(data).digest()


def run(*functions: Any) -> None:
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
