"""Pacing: due times, by arithmetic alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.pacing import Shape, parse_duration, parse_rate

RATES = st.floats(0.01, 50)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5), ("1h1m1s1ms", 3661.001)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are written as k6, Locust and vegeta take them."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1s ", "1d", "1e3s", "0s", "0ms0h", "٣s", "9" * 400 + "s"]
)
def test_no_durations(text: str) -> None:
    """What has no unit, or is no time, is refused rather than guessed."""
    with pytest.raises(ValueError, match=r"write|longer"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("200/s", 200), ("30/m", 0.5), ("36/h", 0.01), ("7", 7), ("0.5/s", 0.5)]
)
def test_rates(text: str, rate: float) -> None:
    """Rates are so many a second, a minute or an hour."""
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "/s", "fast", "0/s", "-3/s", "3/d", "3/2s", "1e3"])
def test_no_rates(text: str) -> None:
    """What is no rate is refused."""
    with pytest.raises(ValueError, match=r"write|more"):
        parse_rate(text)


@given(RATES, st.integers(1, 20))
def test_a_constant_rate_is_even(rate: float, seconds: int) -> None:
    """All arrivals are as far apart as the rate says, the first at once, and none after the end."""
    due = list(Shape(seconds, 0, rate).schedule())
    assert due[0] == 0
    assert due[-1] < seconds + 1e-6
    assert due[-1] + 1 / rate >= seconds - 1e-6
    assert all(late - early == pytest.approx(1 / rate) for early, late in pairwise(due))


@given(RATES, st.floats(2, 20), st.floats(0.01, 0.99))
def test_a_rising_rate_reaches_it(rate: float, seconds: float, part: float) -> None:
    """Over the ramp half as many arrive; then as many as without one; they come closer and closer."""
    shape = Shape(seconds, seconds * part, rate)
    due = list(shape.schedule())
    assert len(due) == shape.arrivals
    assert due == sorted(due)
    assert all(when < seconds + 1e-6 for when in due)
    rising = sum(when < shape.ramp_up for when in due)
    assert rising == pytest.approx(rate * shape.ramp_up / 2, abs=1.001)


@given(st.integers(1, 100), st.floats(0, 100))
def test_users_start_one_after_the_other(users: int, ramp_up: float) -> None:
    """The first starts at once, the last before the ramp's end, all equally far apart."""
    starts = [Shape(None, ramp_up).start(user, users) for user in range(users)]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] <= ramp_up
