"""The figures of a recorded session, for its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core import threshold
from loadgen.store.manifest import Condition, Spread, Totals

if TYPE_CHECKING:
    from loadgen.core.events import SessionEnd
    from loadgen.core.latency import Histogram
    from loadgen.core.spec import Load
    from loadgen.store.journal import Journal


def totals(journal: Journal, end: SessionEnd, load: Load) -> Totals:
    """Return the figures of the requests of *journal* and of the iterations, after the session."""
    tally = journal.tally
    every = _spread(tally.latency)
    made = Totals(
        requests=journal.requests,
        failures=journal.failures,
        seconds=round(journal.lived, 3),
        statuses=dict(sorted(journal.statuses.items())),
        p50_ms=every.p50_ms,
        p90_ms=every.p90_ms,
        p95_ms=every.p95_ms,
        p99_ms=every.p99_ms,
        max_ms=every.max_ms,
        succeeded=_spread(tally.succeeded) if tally.failed.count else None,
        failed=_spread(tally.failed) if tally.failed.count else None,
        iterations=end.iterations,
        failed_iterations=end.failed,
        visit=end.visit,
        conditions=tuple(_condition(text, journal) for text in load.fail_if),
    )
    if load.shape.rate is not None:
        made.corrected_p50_ms = _milliseconds(journal.corrected.percentile(50))
        made.corrected_p99_ms = _milliseconds(journal.corrected.percentile(99))
        made.waited = end.waited
        made.longest_wait_ms = _milliseconds(end.longest_wait)
    return made


def _spread(times: Histogram) -> Spread:
    p50, p90, p95, p99 = (_milliseconds(times.percentile(percent)) for percent in (50, 90, 95, 99))
    longest = _milliseconds(times.longest)
    return Spread(count=times.count, p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, max_ms=longest)


def _condition(text: str, journal: Journal) -> Condition:
    condition = threshold.parse(text)
    measured = condition.measured(journal.tally, journal.lived)
    return Condition(text=text, measured=condition.worded(measured), holds=condition.crossed(measured))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
