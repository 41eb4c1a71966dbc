"""Transcripts as columns and tables of distinct values: repeated values are stored once.

Requests are rows, in sequence; targets, header lists and bodies are indices into tables. Bodies are shown up
to a limit, which is higher for requests that diverged, and lower once much has been shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from loadgen.core.comparison import compared_headers
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import FailedIteration, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.exchange import Headers
    from loadgen.core.masking import Masker
    from loadgen.core.transcript import Event

NORMAL = 4 * 1024
"""Bytes shown of a body."""
CLOSE = 64 * 1024
"""Bytes shown of a body if the answers differ, for the first :data:`CLOSELY` of them."""
CLOSELY = 100
SCANT = 256
"""Bytes shown of a body once :data:`PLENTY` have been shown."""
PLENTY = 48 * 1024 * 1024
CONTEXT = 1024
"""Bytes shown before the first difference, if it is beyond the limit."""
BINARY = 256
"""Bytes shown of a body that is not text, in hexadecimal."""
NONE = -1


@dataclass(slots=True)
class SessionAnswers:
    """The answers of one session, by request: column entry *n* - 1 is request *n*."""

    sent: list[int] = field(default_factory=list)
    """Microseconds since the session's first request."""
    done: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    """0: no answer was seen; below: failure -1 - status."""
    headers: list[int] = field(default_factory=list)
    body: list[int] = field(default_factory=list)
    enter: list[int] = field(default_factory=list)
    """Step of the server's order at which the request entered the application."""
    leave: list[int] = field(default_factory=list)
    prints: list[bytes] = field(default_factory=list)
    """A digest of the compared parts of each answer."""
    due: dict[int, int] = field(default_factory=dict)
    """When requests should have been sent, if known; same unit as :attr:`sent`."""
    failed: Counter[str] = field(default_factory=Counter)
    """Number of iterations that ended by each failure of the scenario."""
    steps: int = 0
    began: float | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns for the page."""
        names = ("sent", "done", "status", "headers", "body", "enter", "leave")
        return {**{name: getattr(self, name) for name in names}, "steps": self.steps}

    def latencies(self) -> list[int]:
        """Return how long each answer took, in microseconds."""
        return [
            done - sent
            for sent, done, status in zip(self.sent, self.done, self.status, strict=True)
            if status > 0 and done >= sent >= 0
        ]

    def corrected(self) -> list[int]:
        """Return how long each answer took from when its request was due; empty if that is not known."""
        if not self.due:
            return []
        return [
            done - min(sent, self.due.get(row, sent))
            for row, (sent, done, status) in enumerate(zip(self.sent, self.done, self.status, strict=True))
            if status > 0 and done >= sent >= 0
        ]


class Interned:
    """Distinct values, numbered in order of appearance."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, key: Any, value: Any = None) -> int:
        """Return the number of the value with this *key*; *value* is the key if not given."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.values)
            self.values.append(key if value is None else value)
        return found


class Tables:
    """Collects requests and both sides, masked, in the form that the page reads."""

    def __init__(self, masker: Masker, close: Sequence[int]) -> None:
        self._masker = masker
        self._close = frozenset(close[:CLOSELY])
        self._held: dict[int, tuple[bytes, SessionAnswers]] = {}
        self._shown = 0
        self.words = Interned()
        self.pairs = Interned()
        self.header_lists = Interned()
        self.bodies = Interned()
        self.failures = Interned()
        self.requests: dict[str, list[int]] = {
            key: [] for key in ("user", "method", "target", "headers", "body")
        }

    def add(self, side: SessionAnswers, event: Event, at: float | None, due: float | None = None) -> None:
        """Add *event*, which occurred at *at*, to *side*; the page shows the requests of the first side."""
        match event:
            case Request():
                if side.began is None:
                    side.began = at or 0.0
                self._request(side, event)
                if due is not None:
                    side.due[len(side.sent)] = round((due - side.began) * 1e6)
                side.sent.append(self._time(side, at))
            case Response(seq=seq):
                row = seq - 1
                side.done[row] = self._time(side, at)
                side.status[row] = event.status
                side.headers[row] = self._headers(event.headers)
                side.prints[row] = fingerprint(event)
                self._answer(side, seq, self._masker.body(event.body, event.headers))
            case Failure(seq=seq):
                side.done[seq - 1] = self._time(side, at)
                side.status[seq - 1] = -1 - self.failures.number(f"{event.kind} {event.message}".strip())
            case FailedIteration():
                side.failed[str(event)] += 1
            case Order(steps=steps):
                for step in steps:
                    column = side.enter if step > 0 else side.leave
                    if abs(step) <= len(column):
                        column[abs(step) - 1] = side.steps
                    side.steps += 1

    def finish(self) -> None:
        """Show the bodies that were held back for an answer that never arrived."""
        for seq, (body, side) in self._held.items():
            side.body[seq - 1] = self._body(body, 0, CLOSE)
        self._held.clear()

    def data(self) -> dict[str, Any]:
        """Return the tables for the page."""
        return {
            "words": self.words.values,
            "pairs": self.pairs.values,
            "header_lists": self.header_lists.values,
            "bodies": self.bodies.values,
            "failures": [self._masker.text(text) for text in self.failures.values],
            "requests": self.requests,
        }

    @staticmethod
    def _time(side: SessionAnswers, at: float | None) -> int:
        return NONE if at is None else max(0, round((at - (side.began or 0.0)) * 1e6))

    def _request(self, side: SessionAnswers, request: Request) -> None:
        if len(self.requests["user"]) < request.seq:
            columns = self.requests
            columns["user"].append(request.user)
            columns["method"].append(self.words.number(request.method))
            columns["target"].append(self.words.number(self._masker.target(request.target)))
            columns["headers"].append(self._headers(request.headers))
            columns["body"].append(self._body(self._masker.body(request.body, request.headers), 0, NORMAL))
        for column in (side.done, side.headers, side.body, side.enter, side.leave):
            column.append(NONE)
        side.status.append(0)
        side.prints.append(b"")

    def _headers(self, headers: Headers) -> int:
        masked = self._masker.headers(headers)
        return self.header_lists.number(tuple(self.pairs.number(pair) for pair in masked))

    def _answer(self, side: SessionAnswers, seq: int, body: bytes) -> None:
        """Keep an answer's body; both bodies of a divergence are shown from the first difference."""
        if seq not in self._close:
            side.body[seq - 1] = self._body(body, 0, NORMAL)
        elif seq not in self._held:
            self._held[seq] = (body, side)
        else:
            other, first = self._held.pop(seq)
            start = max(0, differ_from(other, body) - CONTEXT) if max(len(other), len(body)) > CLOSE else 0
            first.body[seq - 1] = self._body(other, start, CLOSE)
            side.body[seq - 1] = self._body(body, start, CLOSE)

    def _body(self, body: bytes, start: int, limit: int) -> int:
        if not body:
            return NONE
        if self._shown > PLENTY:
            limit = min(limit, SCANT)
        value = excerpt(body, start, limit)
        known = len(self.bodies.values)
        number = self.bodies.number((sha256(body).digest(), start, limit), value)
        if number == known:
            self._shown += min(len(body), limit)
        return number


def fingerprint(answer: Response) -> bytes:
    """Return a digest of the compared parts of an answer."""
    compared = repr((answer.status, compared_headers(answer))).encode()
    return sha256(compared + answer.body).digest()[:16]


def differ_from(one: bytes, other: bytes) -> int:
    """Return the index of the first byte in which two bodies differ."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # the longest common prefix, by halving
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def excerpt(body: bytes, start: int, limit: int) -> str | dict[str, Any]:
    """Return up to *limit* bytes of a body from *start* on; plain text if that is all of it."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"hex": body[:BINARY].hex(" "), "size": len(body), "shown": min(BINARY, len(body))}
    if len(body) <= limit:
        return text
    part = body[start : start + limit].decode(errors="ignore")  # a partial character is dropped
    shown = len(part.encode())
    return {"text": part, "size": len(body), "before": start, "shown": shown}
