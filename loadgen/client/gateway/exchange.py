"""Reads the answer to a request from the server's bytes while they pass; and the gateway's own answers."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from loadgen.core.exchange import Failure, Response
from loadgen.core.http1 import HEAD_LIMIT, Malformed, ToTheEnd, answer_head, head_end, kept

if TYPE_CHECKING:
    from loadgen.core.exchange import Request
    from loadgen.core.http1 import AnswerHead, Body

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_OURS = re.compile(rb"(?im)^x-loadgen-[^\n]*\n")
_FINAL = 200
"""The lowest final status."""


class Exchange:
    """A numbered request whose answer is not complete."""

    __slots__ = (
        "_body",
        "_continued",
        "_head",
        "_received",
        "ended",
        "excess",
        "heard",
        "request",
        "started",
    )

    def __init__(self, request: Request, *, continued: bool, now: float) -> None:
        self.request = request
        self.heard = now
        """When the server last sent something."""
        self.started = False
        """Whether a piece of the answer has passed."""
        self.ended = False
        self.excess = False
        """Whether more arrived than belongs to the answer."""
        self._continued = continued
        self._received = b""
        self._head: AnswerHead | None = None
        self._body: Body | None = None

    @property
    def to_the_end(self) -> bool:
        """Whether the answer ends only with the connection."""
        return isinstance(self._body, ToTheEnd)

    @property
    def keeps(self) -> bool:
        """Whether the server's connection can be used again."""
        return self._head is not None and self._head.keeps and not (self.to_the_end or self.excess)

    def take(self, data: bytes) -> bytes:
        """Handle bytes from the server, and return the part that passes to the client.

        Raises:
            Malformed: it is not an HTTP/1 answer.
        """
        passing = b""
        while self._body is None:
            searched = len(self._received)
            self._received += data
            end = head_end(self._received, searched)
            if end < 0:
                if len(self._received) > HEAD_LIMIT:
                    raise Malformed("an answer whose head is too large")
                return passing
            raw, data, self._received = self._received[:end], self._received[end:], b""
            passing += self._take_head(raw)
        taken = self._body.take(data) if data else 0
        self.ended, self.excess = self._body.ended, taken < len(data)
        self.started = True
        return passing + (data[:taken] if self.excess else data)

    def end(self) -> None:
        """Handle the end of the server's connection.

        Raises:
            Malformed: the answer was not complete.
        """
        if not isinstance(self._body, ToTheEnd):
            raise Malformed(
                "the server closed the connection in the middle of its answer"
                if self.started
                else "the server closed the connection without an answer"
            )
        self._body.ended = self.ended = True

    def response(self) -> Response:
        """Return the answer, once it has ended."""
        assert self._head is not None
        assert self._body is not None
        head, body = self._head, b"".join(self._body.content)
        return Response(self.request.seq, head.status, head.headers, body, reason=head.reason)

    def failure(self, kind: str, message: str) -> Failure:
        """Return the failure of the request, with the received part of the answer."""
        return Failure(self.request.seq, kind, message, came=None if self._body is None else self.response())

    def _take_head(self, raw: bytes) -> bytes:
        head = answer_head(raw)
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise Malformed("a change to another protocol than HTTP/1")
        if head.status < _FINAL:
            return b"" if self._continued and head.status == HTTPStatus.CONTINUE else raw
        self._head, self._body = head, head.body(self.request.method)
        return _without_ours(raw)


@kept
def _without_ours(raw: bytes) -> bytes:
    """Return the head of an answer without loadgen's own header lines."""
    return _OURS.sub(b"", raw)


def own_answer(status: int, why: str, method: str = "", *, outcome: str = "refused") -> bytes:
    """Return an answer of the gateway itself, after which the connection is closed."""
    body = f"loadgen: {why}\n".encode()
    allow = (
        "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
        if status == HTTPStatus.METHOD_NOT_ALLOWED
        else ""
    )
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{allow}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nX-Loadgen-Outcome: {outcome}\r\nConnection: close\r\n\r\n"
    ).encode()
    return head if method == "HEAD" else head + body
