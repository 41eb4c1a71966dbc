"""Latency percentiles in constant memory: a histogram with buckets of a fixed relative width."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

GROWTH = 1.02
"""Ratio of one bucket's bounds: percentiles are exact to 1 %."""
_SCALE = math.log(GROWTH)
_FLOOR = 1e-6


def added(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    """Return the sums of the counts under each key."""
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}


class Histogram(msgspec.Struct):
    """Counts durations in seconds; its size depends on their range, not their number."""

    count: int = 0
    longest: float = 0.0
    """The exact longest duration."""
    buckets: dict[int, int] = {}
    """Number of durations by the logarithm of their length."""

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        bucket = round(math.log(max(seconds, _FLOOR)) / _SCALE)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def __add__(self, other: Histogram) -> Histogram:
        """Return the histogram of both."""
        buckets = added(self.buckets, other.buckets)
        return Histogram(self.count + other.count, max(self.longest, other.longest), buckets)

    def percentile(self, percent: float) -> float:
        """Return the duration, in seconds, that *percent* of the counted ones do not exceed; 0 if none."""
        rank, seen = math.ceil(self.count * percent / 100), 0
        if rank >= self.count:
            return self.longest
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return min(math.exp(bucket * _SCALE), self.longest)
        return self.longest
