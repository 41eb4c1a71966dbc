"""Latency percentiles in constant memory: a histogram with buckets of a fixed relative width."""

from __future__ import annotations

import math

GROWTH = 1.02
"""Ratio of one bucket's bounds: percentiles are exact to 1 %."""
_SCALE = math.log(GROWTH)
_FLOOR = 1e-6


class Histogram:
    """Counts durations in seconds; its size depends on their range, not their number."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        """The exact longest duration."""
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        bucket = round(math.log(max(seconds, _FLOOR)) / _SCALE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile(self, percent: float) -> float:
        """Return the duration, in seconds, that *percent* of the counted ones do not exceed; 0 if none."""
        rank, seen = math.ceil(self.count * percent / 100), 0
        if rank >= self.count:
            return self.longest
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(math.exp(bucket * _SCALE), self.longest)
        return self.longest
