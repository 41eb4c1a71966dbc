"""The journal: writes a transcript through structlog, line by line, as events happen.

It alone assigns sequence numbers, and appends and flushes each line before the event loop can run anything
else. Lines that were written survive a crash of this process.
"""

from __future__ import annotations

import math
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from loadgen.core import transcript
from loadgen.core.events import PartFigures
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.tally import RequestTally
from loadgen.store.files import Named, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from loadgen.core.latency import Histogram
    from loadgen.store.numbers import Numbers

_encode = msgspec.json.Encoder().encode

_NOT_LIVED = frozenset({transcript.Run, transcript.Order, transcript.End})

ORDER_PIECE = 1000
"""Number of steps of the server's order per line."""


class Journal:
    """An open transcript, and the running figures of the session that it records."""

    _FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL  # it is new, and others may append to it

    def __init__(self, path: Path, bodies: Path) -> None:
        self._named, self._bodies = Named(path), bodies
        self._file = os.fdopen(os.open(path, self._FLAGS, 0o666), "ab")
        self.began = time.monotonic()
        """When it was opened, by the clock of this machine."""
        self._sent: dict[int, float] = {}
        self._elsewhere = 0
        self._first, self._last = math.inf, 0.0
        self.requests = 0
        self.tally = RequestTally()
        self._due: dict[int, float] = {}

    @cached_property
    def _line(self) -> Callable[[bytes], object]:
        import structlog  # noqa: PLC0415 - a server starts in the time that this takes

        return structlog.BytesLogger(self._file).msg

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._named:
            self._file.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the journal was opened."""
        return time.monotonic() - self.began

    @property
    def lived(self) -> float:
        """Seconds from the first event to the last one."""
        return max(0.0, self._last - self._first)

    @property
    def failures(self) -> int:
        """Number of requests without a complete answer."""
        return self.tally.unanswered

    @property
    def statuses(self) -> dict[int, int]:
        """Number of answers by status."""
        return self.tally.statuses

    @property
    def latency(self) -> Histogram:
        """How long requests took, whatever their outcome."""
        return self.tally.latency

    @property
    def corrected(self) -> Histogram:
        """Like :attr:`latency`, but measured from when a request was due, if it was sent late."""
        return self.tally.corrected

    @property
    def open_requests(self) -> int:
        """Number of requests without an answer so far."""
        return len(self._sent) + self._elsewhere

    def write(self, event: transcript.Event, at: float | None = None, **more: float) -> float:
        """Append one event and return its time, in seconds since the journal was opened.

        *at* overrides the time, for an event that happened in another process.
        """
        at = self.elapsed if at is None else at
        if type(event) not in _NOT_LIVED:
            self._first, self._last = min(self._first, at), at
        name, fields = transcript.encode(event, self._keep)
        with self._named:
            self._line(_encode({"event": name, "at": round(at, 6), **more, **fields}))
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
        """Number a request and write it, before it is sent; *due* is its scheduled time.

        Number, time and line are taken together: nothing here awaits, so no other request can intervene.
        """
        request = Request(self.requests + 1, user, method, target, headers, body)
        self.resume(request, due)
        return request

    def resume(self, request: Request, due: float | None = None, at: float | None = None) -> None:
        """Write a request that already has a number, from an earlier run or another process."""
        self.requests += 1
        if due is None:
            self._sent[request.seq] = self.write(request, at)
        else:
            self._sent[request.seq] = self.write(request, at, due=round(due, 6))
            self._due[request.seq] = due

    def complete(self, outcome: Response | Failure, at: float | None = None) -> None:
        """Write the outcome of a request."""
        at = self.write(outcome, at)
        sent = self._sent.pop(outcome.seq)
        due = self._due.pop(outcome.seq, sent)
        self.tally.add(outcome, at - sent, at - min(due, sent))

    def end(self, order: list[int], requests: int) -> None:
        """Write the server's order and the end."""
        for start in range(0, len(order), ORDER_PIECE):
            self.write(transcript.Order(tuple(order[start : start + ORDER_PIECE])))
        self.write(transcript.End(requests))

    def take_over(self, requests: int, parts: Sequence[PartFigures]) -> None:
        """Show the figures of the *parts* that write into this transcript, which have sent *requests*."""
        self.requests = requests
        self.tally = sum((part.tally for part in parts), RequestTally())
        self._elsewhere = sum(part.open_requests for part in parts)
        self._first = min((part.first for part in parts if part.first is not None), default=math.inf)
        self._last = max((part.last for part in parts), default=0.0)

    def _keep(self, digest: str, body: bytes) -> None:
        path = self._bodies / digest
        if not path.exists():
            self._bodies.mkdir(exist_ok=True)
            write_bytes(path, body)


class PartJournal(Journal):
    """The transcript of a session that several processes write, opened by one of them.

    The session's own process has opened it before, and owns it.
    """

    _FLAGS = os.O_WRONLY | os.O_APPEND

    def __init__(self, path: Path, bodies: Path, numbers: Numbers, began: float) -> None:
        self._numbers = numbers
        super().__init__(path, bodies)
        self.began = began

    def write(self, event: transcript.Event, at: float | None = None, **more: float) -> float:
        """See :meth:`Journal.write`; the lines of all processes are in the order of their times."""
        with self._numbers:
            return super().write(event, at, **more)

    def resume(self, request: Request, due: float | None = None, at: float | None = None) -> None:
        """See :meth:`Journal.resume`."""
        super().resume(request, due, at)
        self._numbers.last = self.requests

    def issue(
        self,
        user: int,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        due: float | None = None,
    ) -> Request:
        """See :meth:`Journal.issue`; number, time and line are taken together among all processes."""
        with self._numbers:
            self.requests = self._numbers.last
            return super().issue(user, method, target, headers, body, due)

    def figures(self) -> PartFigures:
        """Return the figures of this part."""
        first = None if math.isinf(self._first) else self._first
        return PartFigures(tally=self.tally, open_requests=self.open_requests, first=first, last=self._last)
