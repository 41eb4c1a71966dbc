"""Counts the requests of a session, their answers, and how long they took. Pure.

A request *succeeded* if its answer has a status below 400; otherwise it *failed*, with an error status or
without an answer. Failed requests count in all figures with the time they took: percentiles without time-outs
would claim that a server that does not answer is fast.
"""

from __future__ import annotations

import msgspec

from loadgen.core.exchange import Failure, Response
from loadgen.core.latency import Histogram, added

ERROR = 400
"""The lowest error status."""


class RequestTally(msgspec.Struct):
    """The running figures of a session."""

    unanswered: int = 0
    """Number of requests without a complete answer."""
    statuses: dict[int, int] = {}
    """Number of answers by status."""
    corrected: Histogram = msgspec.field(default_factory=Histogram)
    """How long requests took, from when they were due if they were sent late."""
    succeeded: Histogram = msgspec.field(default_factory=Histogram)
    failed: Histogram = msgspec.field(default_factory=Histogram)

    def __add__(self, other: RequestTally) -> RequestTally:
        """Return the figures of both."""
        return RequestTally(
            self.unanswered + other.unanswered,
            added(self.statuses, other.statuses),
            self.corrected + other.corrected,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
        )

    def add(self, outcome: Response | Failure, seconds: float, corrected: float) -> None:
        """Count one request that ended."""
        self.corrected.add(corrected)
        if isinstance(outcome, Failure):
            self.unanswered += 1
            self.failed.add(seconds)
            return
        self.statuses[outcome.status] = self.statuses.get(outcome.status, 0) + 1
        (self.succeeded if outcome.status < ERROR else self.failed).add(seconds)

    @property
    def latency(self) -> Histogram:
        """How long requests took, whatever their outcome."""
        return self.succeeded + self.failed

    @property
    def ended(self) -> int:
        """Number of requests that have ended."""
        return self.corrected.count

    @property
    def mostly_fails(self) -> bool:
        """Whether more than half of the requests failed, which is rarely intended."""
        return self.failed.count * 2 > self.ended
