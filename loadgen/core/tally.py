"""What came of the requests of a session: how many, with which answers, and how long they took. Pure.

A request *succeeded* if it has an answer below 400; otherwise it *failed*: with an error status, or without
an answer. What failed took time, too, and counts in every figure with it: percentiles that leave out what
timed out would say that a server which does not answer is fast.
"""

from __future__ import annotations

from loadgen.core.exchange import Failure, Response
from loadgen.core.latency import Histogram

ERROR = 400
"""The first status that is an error."""


class RequestTally:
    """The running figures of a session."""

    def __init__(self) -> None:
        self.issued = 0
        self.unanswered = 0
        """How many got no whole answer."""
        self.statuses: dict[int, int] = {}
        self.latency = Histogram()
        """How long requests took, whatever came of them."""
        self.corrected = Histogram()
        """The same, but from when a request was due, where that was before it was sent."""
        self.succeeded = Histogram()
        self.failed = Histogram()

    def add(self, outcome: Response | Failure, seconds: float, corrected: float) -> None:
        """Count one request that ended."""
        self.latency.add(seconds)
        self.corrected.add(corrected)
        if isinstance(outcome, Failure):
            self.unanswered += 1
            self.failed.add(seconds)
            return
        self.statuses[outcome.status] = self.statuses.get(outcome.status, 0) + 1
        (self.succeeded if outcome.status < ERROR else self.failed).add(seconds)

    @property
    def ended(self) -> int:
        """How many requests have ended."""
        return self.latency.count

    @property
    def mostly_fails(self) -> bool:
        """Whether more than half of the requests failed: hardly what a user meant to measure."""
        return self.failed.count * 2 > self.ended
