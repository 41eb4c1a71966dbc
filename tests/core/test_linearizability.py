"""Linearizability: published histories, and every small history against all of its orders."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.core.linearizability import Span, check

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    Apply = Callable[[Hashable, tuple[object, ...]], tuple[Hashable, ...]]
    Call = tuple[float, float, tuple[object, ...]]
    """When it was called, when it returned, and what it was."""

BUDGET = 200_000
UNKNOWN = "unknown"


def register(state: Hashable, call: tuple[object, ...]) -> tuple[Hashable, ...]:
    """A register: ``("write", value)``, ``("read", value)``, ``("cas", from, to, ok)``."""
    match call:
        case ("write", value):
            return (value,)
        case ("read", value):
            return (state,) if value in {state, UNKNOWN} else ()
        case ("cas", old, new, ok):
            after = new if state == old else state
            return (after,) if ok in {UNKNOWN, state == old} else ()
    raise AssertionError(call)


def queue(state: Hashable, call: tuple[object, ...]) -> tuple[Hashable, ...]:
    """A queue: ``("enqueue", value)``, ``("dequeue", value)``."""
    assert isinstance(state, tuple)
    if call[0] == "enqueue":
        return ((*state, call[1]),)
    return (state[1:],) if state[:1] == (call[1],) else ()


def checked(calls: Sequence[Call], apply: Apply, initial: Hashable, budget: int = BUDGET) -> bool | None:
    """Check a history, and return what is said of it."""
    spans = [Span(called, returned) for called, returned, _ in calls]
    return check(spans, initial, lambda one, state: apply(state, calls[one][2]), budget).holds


def explained(calls: Sequence[Call], apply: Apply, initial: Hashable) -> bool:
    """Say the same by trying every order of everything that may have happened."""
    known = {at for at, call in enumerate(calls) if call[1] < inf}
    unknown = [at for at, call in enumerate(calls) if call[1] == inf]
    for count in range(len(unknown) + 1):
        for some in combinations(unknown, count):
            for order in permutations([*known, *some]):
                if any(
                    calls[late][1] < calls[early][0]
                    for place, early in enumerate(order)
                    for late in order[place + 1 :]
                ):
                    continue
                states = {initial}
                for at in order:
                    states = {after for state in states for after in apply(state, calls[at][2])}
                if states:
                    return True
    return False


def text(state: Hashable, call: tuple[object, ...]) -> tuple[Hashable, ...]:
    """A text: ``("put", key, value)``, ``("append", key, value)``, ``("get", key, value)``."""
    match call:
        case ("put", _, value):
            return (value,)
        case ("append", _, value):
            return (f"{state}{value}",)
        case ("get", _, value):
            return (state,) if value in {state, None} else ()
    raise AssertionError(call)


RECORDED = json.loads(Path(__file__).with_name("published_histories.json").read_text(encoding="utf-8"))
PUBLISHED = [
    # The registers of MIT's 6.824 quiz 2, 2017, section VII, which porcupine's own tests have.
    (register, 0, [(0, 100, ("write", 100)), (25, 75, ("read", 100)), (30, 60, ("read", 0))], True),
    (register, 0, [(0, 100, ("write", 200)), (10, 30, ("read", 200)), (40, 90, ("read", 0))], False),
    # Porcupine: operations that take no time.
    (
        register,
        0,
        [(0, 100, ("write", 100)), (25, 75, ("read", 100)), (30, 30, ("read", 0)), (30, 30, ("read", 0))],
        True,
    ),
    (
        register,
        0,
        [
            (0, 100, ("write", 200)),
            (10, 10, ("read", 200)),
            (10, 10, ("read", 200)),
            (40, 90, ("read", 0)),
        ],
        False,
    ),
    # Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", 1990, section 1.2:
    # the queue histories H1 to H4 (figure 1).
    (
        queue,
        (),
        [
            (0, 3, ("enqueue", "x")),
            (1, 4, ("enqueue", "y")),
            (5, 7, ("dequeue", "x")),
            (6, 8, ("dequeue", "y")),
            (9, 10, ("enqueue", "z")),
        ],
        True,
    ),
    (
        queue,
        (),
        [(0, 1, ("enqueue", "x")), (2, 4, ("enqueue", "y")), (3, 5, ("dequeue", "y"))],
        False,
    ),
    (queue, (), [(0, 3, ("enqueue", "x")), (1, 2, ("dequeue", "x"))], True),
    (
        queue,
        (),
        [
            (0, 2, ("enqueue", "x")),
            (1, 3, ("enqueue", "y")),
            (4, 6, ("dequeue", "y")),
            (5, 7, ("dequeue", "y")),
        ],
        False,
    ),
    # Registers as there: a read of a write that has not returned, and one that goes back.
    (
        register,
        0,
        [(0, 3, ("write", 0)), (1, 6, ("write", 1)), (4, 5, ("read", 1)), (7, 8, ("read", 1))],
        True,
    ),
    (
        register,
        0,
        [(0, 1, ("write", 0)), (2, 7, ("write", 1)), (3, 4, ("read", 1)), (5, 6, ("read", 0))],
        False,
    ),
]


@pytest.mark.parametrize(("apply", "initial", "calls", "holds"), PUBLISHED)
def test_published_histories(apply: Apply, initial: Hashable, calls: list[Call], holds: bool) -> None:  # noqa: FBT001
    """What papers and other checkers say of a history is what this one says."""
    assert checked(calls, apply, initial) is holds
    assert explained(calls, apply, initial) is holds


def loaded(calls: list[list[object]]) -> list[Call]:
    return [
        (float(str(called)), inf if end is None else float(str(end)), (*call,))
        for called, end, *call in calls
    ]


@pytest.mark.parametrize("history", RECORDED["register"], ids=lambda one: one["name"])
def test_recorded_registers(history: dict[str, Any]) -> None:
    """What Jepsen recorded of etcd is judged as porcupine and others judge it."""
    assert checked(loaded(history["calls"]), register, None) is history["holds"]


@pytest.mark.parametrize("history", RECORDED["strings"], ids=lambda one: one["name"])
def test_recorded_key_value_stores(history: dict[str, Any]) -> None:
    """The same of key-value stores, each key by itself."""
    calls = loaded(history["calls"])
    keys = {call[2][1] for call in calls}
    held = [checked([one for one in calls if one[2][1] == key], text, "") for key in keys]
    assert all(held) is history["holds"]


@st.composite
def histories(draw: st.DrawFn, kinds: st.SearchStrategy[tuple[object, ...]]) -> list[Call]:
    """Draw histories of few operations: any may overlap any, and of some the outcome is unknown."""
    calls = []
    for _ in range(draw(st.integers(0, 6))):
        called, took = draw(st.integers(0, 8)), draw(st.one_of(st.integers(0, 6), st.just(inf)))
        calls.append((float(called), called + took, draw(kinds)))
    return calls


VALUES = st.integers(0, 2)
REGISTER = st.one_of(
    st.tuples(st.just("write"), VALUES),
    st.tuples(st.just("read"), VALUES),
    st.tuples(st.just("cas"), VALUES, VALUES, st.booleans()),
)
QUEUE = st.tuples(st.sampled_from(["enqueue", "dequeue"]), VALUES)


@pytest.mark.slow
@given(st.one_of(histories(REGISTER).map(lambda one: (register, 0, one)),
                 histories(QUEUE).map(lambda one: (queue, (), one))))  # fmt: skip
@settings(max_examples=400)
def test_it_says_what_all_orders_say(drawn: tuple[Apply, Hashable, list[Call]]) -> None:
    """The search holds a history possible if, and only if, some order of it is."""
    apply, initial, calls = drawn
    assert checked(calls, apply, initial) is explained(calls, apply, initial)


@pytest.mark.slow
@given(histories(REGISTER))
@settings(max_examples=400)
def test_the_part_is_impossible_by_itself(calls: list[Call]) -> None:
    """From the state shown, no order explains the part; without its last operation, some order does."""
    spans = [Span(called, returned) for called, returned, _ in calls]
    found = check(spans, 0, lambda one, state: register(state, calls[one][2]), BUDGET)
    if found.part is None:
        assert found.holds
        return
    end = calls[found.part.last][1]
    part = [
        (called, returned, call) for called, returned, call in (calls[one] for one in found.part.operations)
    ]
    # What returns later than the last one need not have happened before it.
    beginning = [(called, returned if returned <= end else inf, call) for called, returned, call in part]
    assert not explained(beginning, register, found.part.state)
    open_last = [
        (called, inf if one == found.part.last else returned, call)
        for one, (called, returned, call) in zip(found.part.operations, beginning, strict=True)
    ]
    ties = sum(calls[one][1] == end for one in found.part.operations)
    assert ties > 1 or explained(open_last, register, found.part.state)


def test_an_unknown_outcome_may_take_effect_late_or_never() -> None:
    """A write without an answer explains a read long after it, and no read of it is missed."""
    write = (0.0, inf, ("write", 1))
    late = [write, (1.0, 2.0, ("read", 0)), (3.0, 4.0, ("read", 1))]
    assert checked(late, register, 0)
    assert checked([write, (1.0, 2.0, ("read", 0))], register, 0)
    assert not checked([*late, (5.0, 6.0, ("read", 0))], register, 0)


def test_past_its_budget_it_is_undetermined() -> None:
    """What is not searched to its end is neither possible nor impossible."""
    writes: list[Call] = [(0.0, 100.0, ("write", value)) for value in range(12)]
    impossible = [*writes, (1.0, 50.0, ("read", "never"))]
    assert checked(impossible, register, 0, budget=1000) is None


def test_the_shortest_part_is_shown() -> None:
    """What happened before, and what comes after, is left out."""
    before: list[Call] = [(at, at + 0.5, ("write", at)) for at in range(20)]
    after: list[Call] = [(at, at + 0.5, ("write", at)) for at in range(30, 50)]
    lost: list[Call] = [(21, 24, ("cas", 19, 20, True)), (22, 25, ("cas", 19, 21, True))]
    calls = [*before, *lost, *after]
    spans = [Span(called, returned) for called, returned, _ in calls]
    found = check(spans, 0, lambda one, state: register(state, calls[one][2]), BUDGET)
    assert found.part is not None
    assert (found.part.state, found.part.operations, found.part.last) == (19, (20, 21), 21)


@pytest.mark.slow
def test_a_long_history_that_holds_takes_few_steps() -> None:
    """Thousands of operations, many at a time, are a matter of some steps each."""
    calls: list[Call] = [(at, at + 7.5, ("cas", at, at + 1, True)) for at in range(3000)]
    spans = [Span(called, returned) for called, returned, _ in calls]
    found = check(spans, 0, lambda one, state: register(state, calls[one][2]), BUDGET)
    assert found.holds
    assert found.steps < 10 * len(calls)
