"""The journal: writes a transcript through structlog, line by line, as things happen.

It is the one owner of order: only it gives sequence numbers, and it appends each line, flushed, before the
event loop can run anything else. What was written survives the death of this process.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from loadgen.core import transcript
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.tally import Tally
from loadgen.store.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from loadgen.core.latency import Histogram

_encode = msgspec.json.Encoder().encode

_NOT_LIVED = (transcript.Run, transcript.Order, transcript.End)


def _line(logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """Serialise one event, its name first: a transcript is read by people too."""
    del logger, method
    return _encode({"event": event.pop("event"), **event})


ORDER_PIECE = 1000
"""Steps of the server's order in one line."""


class Journal:
    """An open transcript, and the running figures of the session that it records."""

    def __init__(self, path: Path, bodies: Path) -> None:
        self._bodies = bodies
        self._file = path.open("xb")
        self._log = structlog.wrap_logger(
            structlog.BytesLogger(self._file),
            processors=[_line],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            cache_logger_on_first_use=True,
        )
        self._began = time.monotonic()
        self._sent: dict[int, float] = {}
        self._first, self._last = math.inf, 0.0
        self.requests = 0
        self.tally = Tally()
        self._due: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the journal was opened."""
        return time.monotonic() - self._began

    @property
    def lived(self) -> float:
        """Seconds from the first event to the last one."""
        return max(0.0, self._last - self._first)

    @property
    def failures(self) -> int:
        """How many requests got no whole answer."""
        return self.tally.unanswered

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers had each status."""
        return self.tally.statuses

    @property
    def latency(self) -> Histogram:
        """How long requests took, whatever came of them."""
        return self.tally.latency

    @property
    def corrected(self) -> Histogram:
        """As :attr:`latency`, but from when a request was due, where that was before it was sent."""
        return self.tally.corrected

    @property
    def open_requests(self) -> int:
        """How many requests have no answer yet."""
        return len(self._sent)

    def write(self, event: transcript.Event, at: float | None = None, **more: float) -> float:
        """Append one event and return its time, in seconds since the journal was opened.

        *at* is that time where the event was lived elsewhere, and is only written down here.
        """
        at = self.elapsed if at is None else at
        if not isinstance(event, _NOT_LIVED):
            self._first, self._last = min(self._first, at), at
        name, fields = transcript.encode(event, self._keep)
        self._log.info(name, at=round(at, 6), **more, **fields)
        return at

    def issue(
        self,
        user: int,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        due: float | None = None,
    ) -> Request:
        """Number a request and write it down, before it is sent; *due* is when it should have been.

        Number, time and line belong together: nothing in here awaits, so no other request comes between.
        """
        request = Request(self.requests + 1, user, method, target, headers, body)
        self.resume(request, due)
        return request

    def resume(self, request: Request, due: float | None = None, at: float | None = None) -> None:
        """Write down a request that was numbered in an earlier run, or elsewhere."""
        self.requests += 1
        if due is None:
            self._sent[request.seq] = self.write(request, at)
        else:
            self._sent[request.seq] = self.write(request, at, due=round(due, 6))
            self._due[request.seq] = due

    def complete(self, outcome: Response | Failure, at: float | None = None) -> None:
        """Write down how a request ended."""
        at = self.write(outcome, at)
        sent = self._sent.pop(outcome.seq)
        due = self._due.pop(outcome.seq, sent)
        self.tally.add(outcome, at - sent, at - min(due, sent))

    def end(self, order: list[int], requests: int) -> None:
        """Write the server's order and the end."""
        for start in range(0, len(order), ORDER_PIECE):
            self.write(transcript.Order(tuple(order[start : start + ORDER_PIECE])))
        self.write(transcript.End(requests))

    def _keep(self, digest: str, body: bytes) -> None:
        path = self._bodies / digest
        if not path.exists():
            self._bodies.mkdir(exist_ok=True)
            write_bytes(path, body)
