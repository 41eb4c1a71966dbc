"""Strategies: what is chosen depends on seed, thread and step alone."""

from __future__ import annotations

import pytest

from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.strategies import (
    Choice,
    Dice,
    Lengths,
    Pause,
    Pct,
    Random,
    Script,
    Strategy,
    label,
    make,
)

A, B, C = (FIRST_THREAD + number for number in (1, 2, 3))


def begun(strategy: Strategy, *threads: int) -> Strategy:
    for thread in threads:
        strategy.began(thread, "GET /")
    return strategy


def stopping(strategy: Strategy, thread: int, steps: int = 30) -> list[int]:
    return [step for step in range(1, steps) if strategy.stops(thread, step)]


def test_dice_are_seeded_and_even() -> None:
    """The same seeds give the same numbers, others others; all of the range is drawn from."""
    assert [Dice(1, 2).below(100) for _ in range(3)] == [Dice(1, 2).below(100)] * 3
    assert [Dice(1, 2).real(), Dice(2, 1).real(), Dice(1, 3).real()] != [Dice(1, 2).real()] * 3
    dice = Dice(7)
    drawn = [dice.below(10) for _ in range(2000)]
    assert set(drawn) == set(range(10))
    assert max(map(drawn.count, range(10))) < 2 * min(map(drawn.count, range(10)))


def test_dice_of_many_seeds_differ() -> None:
    """First numbers of neighbouring seeds are spread: seeds are counted from 1."""
    first = [Dice(seed, A).below(8) for seed in range(800)]
    assert min(map(first.count, range(8))) > 50


@pytest.mark.parametrize("text", ["random:0.3", "pct:4", "pause:3"])
def test_the_order_of_arrival_does_not_matter(text: str) -> None:
    """At which of its steps a request is stopped does not depend on who came before it."""
    one = begun(make(text, 5, {"GET /": 30}, None), A, B, C)
    other = begun(make(text, 5, {"GET /": 30}, None), C, A, B)
    for thread in (A, B, C):
        assert stopping(one, thread) == stopping(other, thread)


@pytest.mark.parametrize("text", ["random:0.3", "pct:3", "pause:3"])
def test_another_seed_chooses_otherwise(text: str) -> None:
    """Seeds differ in where they stop a request."""
    seen = {tuple(stopping(begun(make(text, seed, {"GET /": 30}, None), A), A)) for seed in range(10)}
    assert len(seen) > 5


def test_no_strategy_runs_a_thread_until_it_waits() -> None:
    """Without a choice to make nothing is given away, and who was open first goes next."""
    strategy = begun(make("none", 1, {}, None), B, A)
    assert strategy.here(A, 1, "call", [B]) == A
    assert not stopping(strategy, A)
    assert strategy.after(None, 0, "start", [A, B]) == B


def test_random_never_picks_who_is_not_ready() -> None:
    """Somebody who can run is chosen, and at a point in the code somebody else."""
    strategy = begun(Random(1, 1.0), A, B, C)
    assert {strategy.here(A, step, "line", [B, C]) for step in range(30)} == {B, C}
    assert {strategy.here(A, step, "call", [B, C]) for step in range(30)} == {A, B, C}
    assert strategy.here(A, 1, "line", []) == A
    assert {strategy.after(A, step, "end", [B, C]) for step in range(30)} == {B, C}


def test_pct_drops_a_request_at_its_change_points() -> None:
    """The highest priority runs; at a change point the request falls behind all others, once."""
    strategy = begun(Pct(3, 2, {"GET /": 5}), A, B)
    first = strategy.after(None, 0, "start", [A, B])
    other = B if first == A else A
    (change,) = stopping(strategy, first)
    for step in range(1, change):
        assert strategy.here(first, step, "call", [other]) == first
    assert strategy.here(first, change, "line", [other]) == other
    assert strategy.after(None, 0, "start", [A, B]) == other


def test_pct_stops_threads_of_the_application_too() -> None:
    """A race may be between two of them; the main thread goes on to serve, and is not stopped by itself."""
    strategy = begun(Pct(3, 5, {}), 0, 4)
    assert stopping(strategy, 4, 600)
    assert not stopping(strategy, 0, 600)


def test_a_paused_request_goes_first_when_others_have_finished() -> None:
    """It neither waits for the end of the session, nor goes on before somebody has finished."""
    strategy = begun(Pause(3, 2, {"GET /": 5}), A, B, C)
    first = strategy.after(None, 0, "start", [A, B, C])
    others = [one for one in (A, B, C) if one != first]
    (change,) = stopping(strategy, first)
    assert strategy.here(first, change, "line", others) in others
    for count in range(1, 50):
        strategy.ended(FIRST_THREAD + 100 + count, 5)
        if strategy.after(None, 0, "end", sorted([first, *others])) == first:
            break
    else:
        pytest.fail("the paused request never went on")


def test_lengths_are_measured() -> None:
    """Steps are drawn from those of requests with the same label; what is unknown is of any magnitude."""
    lengths, dice = Lengths({"GET /a": 4}), Dice(1)
    assert {lengths.draw("GET /a", dice) for _ in range(200)} == {1, 2, 3, 4}
    unknown = [lengths.draw("GET /b", dice) for _ in range(500)]
    assert min(unknown) == 1
    assert max(unknown) > 100
    lengths.began(A, "GET /b")
    lengths.ended(A, 2)
    assert {lengths.draw("GET /b", dice) for _ in range(100)} == {1, 2}


def test_a_script_makes_the_choices_again() -> None:
    """At the same steps the same threads get the turn; elsewhere a thread runs on."""
    strategy = begun(
        Script([Choice(A, 3, "line", B), Choice(B, 4, "end", C), Choice(C, 2, "slow", A)], [(C, 2)]), A, B, C
    )
    assert stopping(strategy, A) == [3]
    assert strategy.here(A, 3, "line", [B, C]) == B
    assert strategy.here(A, 4, "call", [B, C]) == A
    assert strategy.after(B, 4, "end", [A, C]) == C
    assert strategy.after(B, 9, "end", [C, A]) == A  # not scripted: who appears first
    assert (strategy.is_slow(C, 2), strategy.is_slow(C, 3)) == (True, False)


def test_a_script_makes_each_choice_at_the_same_step_once() -> None:
    """A thread that waits for a lock several times is at the same step; then nothing is scripted."""
    again = begun(Script([Choice(A, 3, "lock", to) for to in (B, C, B)], users=3), A, B, C)
    assert [again.after(A, 3, "lock", [B, C]) for _ in range(3)] == [B, C, B]
    assert again.after(A, 3, "lock", [C]) == C

    late = begun(Script([Choice(A, 3, "lock", 4), Choice(A, 3, "lock", C)], users=3), A, B, C)
    assert late.after(A, 3, "lock", [B, C]) == 4
    late.missed(4)
    assert late.after(A, 3, "lock", [B, C]) == C, "as if nothing was scripted"
    assert late.after(A, 3, "lock", [B, C]) == C, "and the next one is the second"


@pytest.mark.parametrize("text", ["pct:3", "pause:2"])
def test_a_starved_thread_goes_first(text: str) -> None:
    """Whatever its priority was."""
    strategy = begun(make(text, 1, {}, None), A, B, C)
    for thread in (A, B, C, A):
        strategy.starved(thread)
        assert strategy.after(None, 0, "start", [A, B, C]) == thread


def test_a_script_waits_for_requests_that_are_to_come() -> None:
    """In the order of the choices, while a virtual user may send one; not for those that do not come."""
    order = Script([Choice(None, 0, "start", one) for one in (0, A, C, B)], users=2)
    begun(order, A, B)
    assert order.after(None, 0, "start", [A, B]) == A
    order.ended(A, 7)
    assert order.after(A, 7, "end", [B]) == C, "its user has an answer, and sends the next request"
    order.missed(C)
    assert order.after(None, 0, "start", [B]) == B
    order.began(C, "GET /")
    assert order.after(None, 0, "start", [B, C]) == C

    gone = begun(Script([Choice(A, 7, "end", 4), Choice(B, 2, "line", 4)], users=2), A, B)
    assert gone.after(A, 7, "end", [B]) == 4
    gone.missed(4)
    assert gone.after(A, 7, "end", [B]) == B, "it was waited for once"
    assert gone.here(B, 2, "line", [A]) == B
    gone.began(4, "")
    assert gone.here(B, 2, "line", [4]) == 4

    full = Script([Choice(None, 0, "start", one) for one in (C, A, B)], users=2)
    begun(full, A, B)
    assert full.after(None, 0, "start", [A, B]) == A, "no user can send C yet"

    alone = Script([Choice(None, 0, "start", one) for one in (A, B)], users=2)
    alone.began(0, "")
    assert alone.after(None, 0, "start", [0]) == 0, "requests come only when the application has started"


def test_a_user_sends_its_next_request_after_an_answer() -> None:
    """A script that names the users tells which requests can hardly come yet; without them, none."""
    strategy = begun(Script([Choice(None, 0, "start", one) for one in (C, A, B)], senders=(0, 1, 0)), A)
    assert (strategy.is_early(B), strategy.is_early(C)) == (False, True)
    strategy.ended(A, 7)
    assert not strategy.is_early(C)
    assert not begun(Script([Choice(None, 0, "start", C)]), A).is_early(C)
    assert not begun(Strategy(), A).is_early(C)


@pytest.mark.parametrize("text", ["", "nothing", "pct:x", "random:x", "script"])
def test_what_is_no_strategy_is_refused(text: str) -> None:
    """A name that is unknown, or has no argument of its kind, is an error."""
    with pytest.raises(ValueError, match=r"."):
        make(text, 1, {}, None)


def test_labels_leave_numbers_out() -> None:
    """Requests of one endpoint have one label, whatever they are about."""
    assert label("GET", "/users/17/posts/3") == label("GET", "/users/2/posts/44")
    assert label("GET", "/users/1") != label("PUT", "/users/1")
