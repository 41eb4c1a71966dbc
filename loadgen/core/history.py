"""The history of a run: each request, with its times and its outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core.exchange import Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.core.transcript import Event

SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of a history."""

    request: Request
    outcome: Response | Failure | None
    """None: the run ended first."""
    asked: float
    """When the request was sent, in any unit that orders events."""
    answered: float = math.inf
    """When its outcome was received."""

    @property
    def seq(self) -> int:
        """The request's number."""
        return self.request.seq

    @property
    def answer(self) -> Response | None:
        """The answer, if it shows what the server did: not a failure, and not a 5xx."""
        known = isinstance(self.outcome, Response) and self.outcome.status not in SERVER_ERRORS
        return self.outcome if known else None  # type: ignore[return-value] # narrowed by `known`


def operations(events: Iterable[Event]) -> list[Operation]:
    """Return the requests of a transcript, in the order in which they were sent.

    Times are positions in the transcript: a request is written before it is sent, and an answer when it is
    complete, so requests that overlapped also overlap here.
    """
    asked: dict[int, tuple[Request, int]] = {}
    ended: dict[int, tuple[Response | Failure, int]] = {}
    for index, event in enumerate(events):
        match event:
            case Request():
                asked[event.seq] = event, index
            case Response() | Failure():
                ended[event.seq] = event, index
    found = []
    for seq, (request, index) in asked.items():
        outcome, end = ended.get(seq, (None, math.inf))
        found.append(Operation(request, outcome, index, end))
    return found
