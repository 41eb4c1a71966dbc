"""Counts the requests of a session, their answers, and how long they took. Pure.

A request *succeeded* if its answer has a status below 400; otherwise it *failed*, with an error status or
without an answer. Failed requests count in all figures with the time they took: percentiles without time-outs
would claim that a server that does not answer is fast.
"""

from __future__ import annotations

from loadgen.core.exchange import Failure, Response
from loadgen.core.latency import Histogram

ERROR = 400
"""The lowest error status."""


class RequestTally:
    """The running figures of a session."""

    def __init__(self) -> None:
        self.issued = 0
        self.unanswered = 0
        """Number of requests without a complete answer."""
        self.statuses: dict[int, int] = {}
        self.latency = Histogram()
        """How long requests took, whatever their outcome."""
        self.corrected = Histogram()
        """The same, measured from when a request was due, if it was sent late."""
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
        """Number of requests that have ended."""
        return self.latency.count

    @property
    def mostly_fails(self) -> bool:
        """Whether more than half of the requests failed, which is rarely intended."""
        return self.failed.count * 2 > self.ended
