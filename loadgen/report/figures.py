"""The figures of a report: percentiles, a histogram of latencies, a rate over time. Pure."""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.report.tables import SessionAnswers

PERCENTILES = (50, 75, 90, 95, 99, 99.9)
BUCKETS = 42
"""Largest number of buckets of the histogram; they are equally wide on a logarithmic scale."""
POINTS = 50
"""Approximate number of points of the rate."""


def percentiles(latencies: Sequence[int]) -> dict[str, float]:
    """Return nearest-rank percentiles, the mean and the extremes, in milliseconds; empty for no latencies."""
    if not latencies:
        return {}
    ranked = sorted(latencies)
    at = {f"p{percent:g}": ranked[max(0, ceil(percent / 100 * len(ranked)) - 1)] for percent in PERCENTILES}
    figures = {"min": ranked[0], **at, "max": ranked[-1], "mean": sum(ranked) / len(ranked)}
    return {name: round(value / 1000, 3) for name, value in figures.items()}


def histogram(sides: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Count latencies in common buckets; ``edges`` are in milliseconds, one more than there are buckets."""
    every = [max(value, 1) for side in sides for value in side]
    if not every:
        return {"edges": [], "counts": [[] for _ in sides]}
    low, high = log10(min(every)), log10(max(every) + 1)
    width = max((high - low) / BUCKETS, 0.02)
    edges = [10 ** (low + width * number) for number in range(ceil((high - low) / width) + 1)]
    counts = [[0] * (len(edges) - 1) for _ in sides]
    for side, count in zip(sides, counts, strict=True):
        for value in side:
            count[min(max(bisect_right(edges, max(value, 1)) - 1, 0), len(count) - 1)] += 1
    return {"edges": [round(edge / 1000, 4) for edge in edges], "counts": counts}


def rate(sides: Sequence[SessionAnswers]) -> dict[str, Any]:
    """Count answers by second of the session; each side ends with its last answer."""
    ends = [
        [done for done, status in zip(side.done, side.status, strict=True) if status > 0] for side in sides
    ]
    last = max((max(side, default=0) for side in ends), default=0)
    if last <= 0:
        return {"at": [], "rates": [[] for _ in sides]}
    width = _round(last / POINTS)
    count = last // width + 1
    rates: list[list[float | None]] = []
    for side in ends:
        filled = [0] * count
        for done in side:
            filled[max(0, done) // width] += 1
        mine = max(side, default=0) // width
        rates.append(
            [round(n * 1e6 / width, 2) if at <= mine and side else None for at, n in enumerate(filled)]
        )
    return {
        "at": [round((at + 0.5) * width / 1e6, 6) for at in range(count)],
        "width": width / 1e6,
        "rates": rates,
    }


def _round(microseconds: float) -> int:
    """Round up to 1, 2 or 5 times a power of ten, and to at least a millisecond."""
    wanted = max(microseconds, 1000.0)
    power = 10 ** int(log10(wanted))
    return int(next(power * step for step in (1, 2, 5, 10) if power * step >= wanted))
