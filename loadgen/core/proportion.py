"""Statistics of a few trials: the confidence interval of a rate, and when enough trials have been made.

Trials fail by chance, so a count is a sample: 20 passes of 20 exclude, at 95 % confidence, only failure rates
above 17 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIDENCE = 0.95
_HALVINGS = 50
"""Number of bisections of an interval of 1, which exhausts a double's precision."""


def interval(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Clopper and Pearson's exact interval of the rates that *count* of *of* trials do not exclude.

    It contains the true rate with a probability of at least *confidence*. Without trials, it excludes
    nothing.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if not count else _bisect(lambda rate: _at_least(count, of, rate) < tail)
    high = 1.0 if count == of else _bisect(lambda rate: 1 - _at_least(count + 1, of, rate) > tail)
    return low, high


@dataclass(slots=True)
class Sequential:
    """Wald's sequential test: is the failure rate *fails* or more, or *passes* or less?

    It needs as few trials as its error rates allow: one or two if the answer is obvious. For a rate between
    the two, it gives either answer.
    """

    fails: float
    passes: float
    wrongly_fails: float = 0.05
    """Largest probability of the answer "fails" at the rate *passes*."""
    wrongly_passes: float = 0.05
    """Largest probability of the answer "passes" at the rate *fails*."""
    failures: int = 0
    trials: int = 0

    def see(self, *, failed: bool) -> None:
        """Count the outcome of one more trial."""
        self.trials += 1
        self.failures += failed

    @property
    def answer(self) -> bool | None:
        """Whether it fails at the higher rate; None while undecided."""
        weight = self.failures * math.log(self.fails / self.passes)
        weight += (self.trials - self.failures) * math.log((1 - self.fails) / (1 - self.passes))
        if weight >= math.log((1 - self.wrongly_passes) / self.wrongly_fails):
            return True
        if weight <= math.log(self.wrongly_passes / (1 - self.wrongly_fails)):
            return False
        return None


def _at_least(count: int, of: int, rate: float) -> float:
    """Return the probability of *count* or more failures in *of* trials at *rate*."""
    if rate in {0.0, 1.0}:
        return 1.0 if rate or not count else 0.0
    return min(1.0, math.fsum(_exactly(one, of, rate) for one in range(count, of + 1)))


def _exactly(count: int, of: int, rate: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    return math.exp(ways + count * math.log(rate) + (of - count) * math.log1p(-rate))


def _bisect(too_low: Callable[[float], bool]) -> float:
    """Return the smallest rate that is not *too_low*."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if too_low(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
