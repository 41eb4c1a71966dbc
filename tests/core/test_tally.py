"""Figures of a session: failed requests count with the time they took, and thresholds are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.exchange import Failure, Response
from loadgen.core.latency import Histogram
from loadgen.core.tally import RequestTally
from loadgen.core.threshold import parse


def tally() -> RequestTally:
    """Return 100 requests: 40 in 10 ms, 8 of them errors, and 60 that timed out after 1 s."""
    made = RequestTally()
    for number in range(40):
        status = 200 if number >= 8 else 404 if number >= 5 else 503
        made.add(Response(number, status, ()), 0.01, 0.02)
    for number in range(60):
        made.add(Failure(number, "ReadTimeout", ""), 1.0, 2.0)
    return made


def test_what_timed_out_counts_with_its_time() -> None:
    """A percentile without those that timed out would call a server fast that does not answer."""
    found = tally()
    assert found.latency.percentile(50) == pytest.approx(1.0, rel=0.02)
    assert found.latency.percentile(40) == pytest.approx(0.01, rel=0.02)
    assert found.succeeded.longest == 0.01
    assert (found.succeeded.count, found.failed.count, found.unanswered, found.ended) == (32, 68, 60, 100)
    assert found.mostly_fails


@given(st.lists(st.floats(1e-6, 1e4), min_size=1))
def test_the_longest_is_exact(times: list[float]) -> None:
    """No percentile exceeds the longest duration, and the last one is it."""
    histogram = Histogram()
    for one in times:
        histogram.add(one)
    assert histogram.percentile(100) == histogram.longest == max(times)
    assert all(histogram.percentile(percent) <= max(times) for percent in (1, 50, 99))


@pytest.mark.parametrize(
    ("text", "crossed", "worded"),
    [
        ("p99>200ms", True, "1000ms"),
        ("p99 > 1.5s", False, "1s"),
        ("p40>=9ms", True, "9.9"),
        ("max<1s", False, "1s"),
        ("succeeded_max>20ms", False, "10ms"),
        ("failed_p50>0.9s", True, "1s"),
        ("corrected_p99>1.5s", True, "2s"),
        ("status_5xx>0", True, "5"),
        ("status_404>3", False, "3"),
        ("status_4xx==3", True, "3"),
        ("status_2xx!=32", False, "32"),
        ("failed>1%", True, "68%"),
        ("failed>=68", True, "68"),
        ("unanswered>60%", False, "60%"),
        ("succeeded<50%", True, "32%"),
        ("requests<100", False, "100"),
        ("rate<50/s", True, "10/s"),
        ("p99.9>1m", False, "0.01667m"),
    ],
)
def test_thresholds(text: str, crossed: bool, worded: str) -> None:  # noqa: FBT001
    """A threshold is crossed exactly if its figure is beyond its limit."""
    threshold, found = parse(text), tally()
    measured = threshold.measured(found, 10.0)
    assert threshold.crossed(measured) is crossed
    assert threshold.worded(measured).startswith(worded)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99", "not a figure, an operator and a number"),
        ("p99>200", "p99 is given with ms or s or m"),
        ("p99>1%", "is given with ms"),
        ("p0>1s", "p0 is not a percentile"),
        ("p101>1s", "p101 is not a percentile"),
        ("failed>1ms", "failed is given with no unit or %"),
        ("rate<5", "rate is given with /s"),
        ("status_6xx>0", "there is no figure 'status_6xx'"),
        ("latency>1s", "there is no figure 'latency'"),
        ("P99>1s", "not a figure"),
        ("", "not a figure"),
    ],
)
def test_what_is_no_threshold(text: str, says: str) -> None:
    """A mistake is answered with what a threshold is."""
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_no_requests() -> None:
    """Of nothing, every figure is 0."""
    for text in ("p99>1s", "failed>1%", "rate>1/s", "status_5xx>0"):
        assert parse(text).measured(RequestTally(), 0) == 0
    assert not RequestTally().mostly_fails
