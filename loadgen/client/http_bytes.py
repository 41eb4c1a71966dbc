"""Extracts answers from the bytes of a server's connections, with the numbers of their requests.

A request carries its number in ``X-Loadgen-Seq``; the answers on a connection are in the order of its
requests. Requests without a number, and connections that are not HTTP, such as a database's, are ignored.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

from loadgen import protocol
from loadgen.core.exchange import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadgen.core.exchange import Headers, Outcome

NUMBER = protocol.SEQ_HEADER.lower().encode()
LIMIT = 1 << 20
"""Largest size of a head, in bytes."""


class TappedConnection:
    """One connection of a server: what it received, and what it sent."""

    def __init__(self) -> None:
        self._asked = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMIT)
        self._open: deque[tuple[bytes, int | None]] = deque()
        self._told: _Answer | None = None

    def received(self, data: bytes) -> None:
        """Handle bytes of requests."""
        if not data or self._asked.their_state is h11.ERROR:
            return
        try:
            self._asked.receive_data(data)
            while isinstance(event := self._asked.next_event(), h11.Event):
                if isinstance(event, h11.Request):
                    number = dict(event.headers).get(NUMBER, b"")
                    self._open.append((event.method, int(number) if number.isdigit() else None))
                elif isinstance(event, h11.EndOfMessage):
                    self._asked.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    self._asked.send(h11.EndOfMessage())
                    if self._asked.our_state is h11.MUST_CLOSE:
                        return
                    self._asked.start_next_cycle()
        except h11.RemoteProtocolError:
            return

    def sent(self, data: bytes) -> Iterator[Outcome]:
        """Handle bytes of answers, and yield the answers that they complete."""
        while data:
            if self._told is None:
                if not self._open:
                    return
                self._told = _Answer(*self._open.popleft())
            response, data = self._told.take(data)
            if response is None and not self._told.over:
                return
            self._told = None
            if response is not None:
                yield response

    def ended(self) -> Iterator[Outcome]:
        """Handle the end of the sent data, which may end an answer."""
        told, self._told = self._told, None
        if told is not None and (outcome := told.take(b"")[0]) is not None:
            yield outcome


class _Answer:
    """One answer, as it arrives."""

    def __init__(self, method: bytes, seq: int | None) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)
        self._connection.send(h11.Request(method=method, target="/", headers=[("host", "server")]))
        self._connection.send(h11.EndOfMessage())
        self._seq = seq
        self._head: h11.Response | None = None
        self._body: list[bytes] = []
        self.over = False

    def take(self, data: bytes) -> tuple[Outcome | None, bytes]:
        """Handle bytes, or the end; return the answer if it is complete, and the bytes after it."""
        try:
            self._connection.receive_data(data)
            while isinstance(event := self._connection.next_event(), h11.Event):
                match event:
                    case h11.Response():
                        self._head = event
                    case h11.Data():
                        self._body.append(bytes(event.data))
                    case h11.EndOfMessage():
                        self.over = True
                        return self._complete(), self._connection.trailing_data[0]
        except h11.RemoteProtocolError as error:
            self.over = True
            if self._seq is None:
                return None, b""
            came = None if self._head is None else self._response(self._seq, self._head)
            return Failure(self._seq, type(error).__name__, str(error), came=came), b""
        return None, b""

    def _complete(self) -> Response | None:
        if self._seq is None:
            return None
        assert self._head is not None
        return self._response(self._seq, self._head)

    def _response(self, seq: int, head: h11.Response) -> Response:
        reason = head.reason.decode("latin-1")
        headers = _decoded(head.headers.raw_items())
        return Response(seq, head.status_code, headers, b"".join(self._body), reason=reason)


@dataclass(slots=True)
class SentRequest:
    """A request that a client sent on a connection, and what it got for it."""

    connection: int
    index: int
    """Its place among the requests of the connection."""
    method: str
    target: str
    headers: Headers
    body: bytes = b""
    answer: Outcome | None = None
    """Its number is 0."""


class SendingConnection:
    """One connection of a client: what it sent, and what it received. The inverse of a tapped server's."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._sent = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMIT)
        self._open: deque[SentRequest] = deque()
        self._count = 0
        self._unfinished: SentRequest | None = None
        self._body: list[bytes] = []
        self._answer: _Answer | None = None

    def sent(self, data: bytes) -> Iterator[SentRequest]:
        """Handle bytes of requests, and yield the requests that they complete."""
        if not data or self._sent.their_state is h11.ERROR:
            return
        try:
            self._sent.receive_data(data)
            while isinstance(event := self._sent.next_event(), h11.Event):
                match event:
                    case h11.Request():
                        headers = _decoded(event.headers.raw_items())
                        method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
                        self._unfinished = SentRequest(self._number, self._count, method, target, headers)
                        self._count += 1
                    case h11.Data():
                        self._body.append(bytes(event.data))
                    case h11.EndOfMessage():
                        assert self._unfinished is not None
                        self._unfinished.body = b"".join(self._body)
                        self._body.clear()
                        self._open.append(self._unfinished)
                        yield self._unfinished
                        self._sent.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                        self._sent.send(h11.EndOfMessage())
                        if self._sent.our_state is h11.MUST_CLOSE:
                            return
                        self._sent.start_next_cycle()
        except h11.RemoteProtocolError:
            return

    def received(self, data: bytes) -> None:
        """Handle bytes of answers; none: the end of them, which may end an answer."""
        while self._open:
            if self._answer is None:
                self._answer = _Answer(self._open[0].method.encode("latin-1"), 0)
            outcome, data = self._answer.take(data)
            if not self._answer.over:
                return
            self._open.popleft().answer = outcome
            self._answer = None
            if not data:
                return


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
