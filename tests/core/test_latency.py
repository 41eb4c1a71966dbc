"""Latency percentiles: exact to one per cent, in constant memory."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.latency import Histogram

durations = st.floats(1e-6, 1e4, allow_nan=False)


def counted(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(durations, min_size=1, max_size=200), st.integers(0, 100))
def test_percentiles_are_exact_to_one_per_cent(values: list[float], percent: int) -> None:
    """A percentile is within 1 % of the value of that rank in the sorted list."""
    rank = max(1, math.ceil(len(values) * percent / 100))
    assert counted(values).percentile(percent) == pytest.approx(sorted(values)[rank - 1], rel=0.01)


@given(st.lists(durations, min_size=1, max_size=50))
def test_percentiles_never_fall(values: list[float]) -> None:
    """A higher percentile is never a shorter duration."""
    histogram = counted(values)
    found = [histogram.percentile(percent) for percent in (0, 1, 50, 90, 99, 99.9, 100)]
    assert found == sorted(found)


def test_size_does_not_grow_with_the_count() -> None:
    """Ten times the durations take no more memory: the size depends on their range only."""
    few = counted([1 + (at % 997) / 100 for at in range(1_000)])
    many = counted([1 + (at % 997) / 100 for at in range(10_000)])
    assert (few.count, many.count) == (1_000, 10_000)
    assert sys.getsizeof(many.buckets) == sys.getsizeof(few.buckets)
    assert len(many.buckets) <= math.log(11) / math.log(1.02) + 1


def test_nothing_counted_is_zero() -> None:
    """Without durations there is no percentile to tell, and no error."""
    assert Histogram().percentile(99) == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9])
def test_durations_too_short_to_tell_are_counted(seconds: float) -> None:
    """A clock that did not move, or moved back, is counted as the shortest duration."""
    histogram = counted([seconds, 1.0])
    assert histogram.count == 2
    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.01)
