"""Proportions: the interval contains the rate with its confidence, and the test keeps its error rates."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.proportion import Sequential, interval


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 20, 0.0, 0.1684),  # as tables of the Clopper-Pearson interval have it
        (20, 20, 0.8316, 1.0),
        (1, 20, 0.0013, 0.2487),
        (10, 20, 0.2720, 0.7280),
        (0, 1, 0.0, 0.975),
        (3, 2000, 0.0003, 0.0044),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_the_exact_one(count: int, of: int, low: float, high: float) -> None:
    """Known values; of nothing, nothing is excluded."""
    assert interval(count, of) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_interval_holds_what_was_seen(count: int, of: int) -> None:
    """The observed rate lies within, and the mirrored count has the mirrored interval."""
    count = min(count, of)
    low, high = interval(count, of)
    assert 0 <= low <= count / of <= high <= 1
    assert interval(of - count, of) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("rate", "expected"), [(0.5, True), (0.9, True), (0.1, False), (0.0, False)])
def test_the_sequential_test_errs_seldom(rate: float, expected: bool) -> None:  # noqa: FBT001
    """At either rate, and beyond, the wrong answer is as rare as promised; every test comes to its end."""
    rng = Random(1)
    wrong = 0
    for _ in range(2000):
        test = Sequential(fails=0.5, passes=0.1)
        while test.answer is None:
            test.see(failed=rng.random() < rate)
        wrong += test.answer is not expected
        assert test.trials < 100
    assert wrong / 2000 <= 0.06


def test_what_is_plain_takes_few_trials() -> None:
    """What always fails is told after two trials, what never does after six."""
    always, never = Sequential(fails=0.5, passes=0.1), Sequential(fails=0.5, passes=0.1)
    while always.answer is None:
        always.see(failed=True)
    while never.answer is None:
        never.see(failed=False)
    assert (always.trials, never.trials) == (2, 6)
