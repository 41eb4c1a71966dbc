"""A client's connection, and the server's connection behind it.

Each client connection has its own server connection. What the server does to its connection (keep, close,
reset) is repeated for the client, and the reverse.

Everything happens in the callback that receives the bytes, without a task or a wait: numbering a request,
journaling it and sending it are one step, and a request costs a fraction of what it would with streams and
tasks (``benchmarks/gateway.py``).
"""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from loadgen.client.gateway.admission import FOR_THE_PROXY
from loadgen.client.gateway.exchange import CONTINUE, Exchange, own_answer
from loadgen.client.gateway.sockets import Connecting, Stream
from loadgen.core.http1 import HEAD_LIMIT, Malformed, Refused, check_beginning, head_end, request_head

if TYPE_CHECKING:
    import socket

    from loadgen.client.gateway.sockets import Readiness
    from loadgen.core.exchange import Failure, Headers, Request, Response
    from loadgen.core.http1 import Body, RequestHead

AHEAD = 1 << 16
"""Bytes of later requests that are read while a request is open."""
LINGER = 2.0
"""Seconds during which a refused client may continue to send, so that it can read the answer."""


class Owner(Protocol):
    """The interface of the gateway for a connection; see :class:`loadgen.client.gateway.listener.Gateway`."""

    server: tuple[str, int]
    readiness: Readiness

    def closing(self, one: ClientConnection) -> None:
        """Note that the connection is about to end: its lane is free."""

    def closed(self, one: ClientConnection) -> None:
        """Note that the connection has ended."""

    def admit(self, head: RequestHead) -> str:
        """Return the target under which the server gets a request; or raise Refused."""

    def issue(
        self, one: ClientConnection, head: RequestHead, target: str, headers: Headers, body: bytes
    ) -> Request | None:
        """Number and journal a request; None: this failed, and the recording is over."""

    def complete(self, one: ClientConnection, outcome: Response | Failure) -> None:
        """Journal how a request ended."""

    def refused(self, why: Refused) -> None:
        """Count a refused request."""

    def left(self, when: str) -> None:
        """Count a client that disconnected early."""

    @property
    def stopping(self) -> bool:
        """Whether no more requests are accepted."""


class ServerConnection:
    """The connection to the server behind a client's."""

    def __init__(self, connection: socket.SocketType, client: ClientConnection, readiness: Readiness) -> None:
        self._client = client
        self.ended = False
        self.stream = Stream(connection, self, readiness)

    def data_received(self, data: bytes) -> None:
        """Pass on a piece of an answer."""
        self._client.answered(self, data)

    def eof_received(self) -> bool:
        """Handle the end of the data, which may end an answer."""
        if not self.ended:
            self.ended = True
            self._client.server_ended(self, None)
        return False

    def pause_writing(self) -> None:
        """Do nothing: a request is completely in memory when it is sent."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def connection_lost(self, error: OSError | None) -> None:
        """Handle the end of the connection, which is an error unless the end of the data was seen before."""
        if not self.ended:
            self.ended = True
            self._client.server_ended(self, error)

    def drop(self) -> None:
        """Close it, and discard further data."""
        self.ended = True
        self.stream.abort()


class ClientConnection:
    """A client's connection: one request after the other, each with its answer."""

    def __init__(self, connection: socket.SocketType, owner: Owner) -> None:
        self._owner = owner
        self.stream = Stream(connection, self, owner.readiness)
        self.lane: int | None = None
        """The number of its lane, once it has sent a request."""
        self.exchange: Exchange | None = None
        """The open request."""
        self.is_slow = False
        """Whether the client reads its answer more slowly than it arrives."""
        self._server: ServerConnection | None = None
        self._connecting: Connecting | None = None
        self._received = b""
        """Received bytes that are not part of the current request."""
        self._head: RequestHead | None = None
        self._body: Body | None = None
        self._target = ""
        self._raw: list[bytes] = []
        """The current request's bytes: its first line, then the rest as it arrives."""
        self._continued = False
        self._keeps = True
        self._half_closed = False
        self._over = False
        """Whether it is being closed: further bytes are ignored."""

    # ---- the client ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Handle bytes of requests."""
        if self._over:
            return
        self._received = self._received + data if self._received else data
        if self._is_busy():
            if len(self._received) > AHEAD:
                self.stream.pause_reading()
        else:
            self._read()

    def eof_received(self) -> bool:
        """Handle the end of the requests; the client may still read answers."""
        self._half_closed = True
        return self._is_busy()

    def connection_lost(self, error: OSError | None) -> None:
        """Note that the client has disconnected, and close the server's connection."""
        del error
        if self.exchange is not None:
            when = "in the middle of an answer" if self.exchange.started else "before its answer"
            self._owner.left(when)
            self._complete(self.exchange.failure("ClientLeft", f"the client left {when}"))
        elif not self._over and (self._head is not None or self._received or self._connecting):
            self._owner.left("in the middle of a request")
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop_server()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """Stop reading from the server until the client has read more."""
        self.is_slow = True
        if self._server is not None and not self._server.ended:
            self._server.stream.pause_reading()

    def resume_writing(self) -> None:
        """Read from the server again."""
        self.is_slow = False
        if self.exchange is not None:
            self.exchange.heard = monotonic()
        if self._server is not None and not self._server.ended:
            self._server.stream.resume_reading()

    def close(self) -> None:
        """Close it in an orderly way, after all written data."""
        if not self._over:
            self._over = True
            self._owner.closing(self)
            self._drop_server()
            self.stream.close()

    def break_off(self) -> None:
        """Reset it."""
        self._over = True
        self._owner.closing(self)
        self._drop_server()
        self.stream.break_off()

    def close_if_idle(self) -> None:
        """Close it unless a request is open; an incomplete request is dropped."""
        if not self._is_busy():
            if self._head is not None or self._received:
                self._owner.left("in the middle of a request")
            self.close()

    # ---- requests -----------------------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return self.exchange is not None or self._connecting is not None

    def _read(self) -> None:
        """Read the next request, and send it on when it is complete."""
        try:
            if (self._body is None and not self._read_head()) or not self._read_body():
                return
        except Refused as refused:
            self._refuse(refused)
            return
        except Malformed as error:
            self._refuse(Refused(400, str(error)))
            return
        if self._owner.stopping:
            self.close()
        elif self._server is not None and not self._server.ended:
            self._send(self._server)
        else:
            # A numbered request is sent at once, in the order of the numbers, so connect first.
            try:
                self._connecting = Connecting(self._owner.server, self._connected, self._owner.readiness)
            except OSError as error:
                self._connected(None, error)
            else:
                self._connecting.begin()

    def _read_head(self) -> bool:
        received = self._received
        if received[:1] in {b"\r", b"\n"}:  # empty lines before a request are ignored
            received = self._received = received.lstrip(b"\r\n")
        end = head_end(received)
        if end < 0 or end > HEAD_LIMIT:
            if received:
                check_beginning(received)
            return False
        raw = received[:end]
        head = request_head(raw)
        self._target = self._owner.admit(head)
        rest = raw[raw.index(b"\n") + 1 :]
        if self._target is not head.target:
            raw = f"{head.method} {self._target} HTTP/1.{head.minor}\r\n".encode("latin-1")
            rest = FOR_THE_PROXY.sub(b"", rest)
        self._raw = [raw[: raw.index(b"\n") + 1], rest]
        self._received = received[end:]
        self._head, self._body = head, head.body()
        self._continued = head.expects and not self._body.ended and not self._received
        if self._continued:
            self.stream.write(CONTINUE)
        return True

    def _read_body(self) -> bool:
        assert self._body is not None
        if self._received and not self._body.ended:
            taken = self._body.take(self._received)
            self._raw.append(self._received[:taken])
            self._received = self._received[taken:]
        return self._body.ended

    def _connected(self, connection: socket.SocketType | None, error: OSError | None) -> None:
        self._connecting = None
        if connection is not None:
            self._server = ServerConnection(connection, self, self._owner.readiness)
            self._send(self._server)
        elif self._issue() is not None:
            self._fail("ConnectError", HTTPStatus.BAD_GATEWAY, f"the server could not be reached: {error}")

    def _send(self, server: ServerConnection) -> None:
        request = self._issue()
        if request is None:
            return
        first, *rest = self._raw
        self._raw = []
        server.stream.write(b"".join((first, b"X-Loadgen-Seq: %d\r\n" % request.seq, *rest)))

    def _issue(self) -> Request | None:
        """Number the request and open its exchange; None: the recording is over."""
        head, body = self._head, self._body
        assert head is not None
        assert body is not None
        self._head = self._body = None
        self._keeps = head.keeps
        headers = head.headers
        if self._target is not head.target:
            headers = tuple(pair for pair in headers if not pair[0].lower().startswith("proxy-"))
        request = self._owner.issue(self, head, self._target, headers, b"".join(body.content))
        if request is None:
            self.stream.abort()
        else:
            self.exchange = Exchange(request, continued=self._continued, now=monotonic())
        return request

    def _refuse(self, refused: Refused) -> None:
        """Answer a refused request, and close when the client has had time to read the answer."""
        self._owner.refused(refused)
        self._over = True
        self._drop_server()
        method = self._head.method if self._head else ""
        self.stream.write(own_answer(refused.status, refused.why, method))
        self.stream.write_eof()
        self._owner.readiness.loop.call_later(LINGER, self.stream.abort)

    # ---- answers ------------------------------------------------------------------------------------------

    def answered(self, server: ServerConnection, data: bytes) -> None:
        """Pass on data from the server."""
        exchange = self.exchange
        if exchange is None or server is not self._server:
            server.drop()  # there is no open request
            return
        exchange.heard = monotonic()
        try:
            passing = exchange.take(data)
        except Malformed as error:
            self._fail("RemoteProtocolError", HTTPStatus.BAD_GATEWAY, f"the server sent {error}")
            return
        if exchange.ended:
            self._end(passing)
        elif passing:
            self.stream.write(passing)

    def server_ended(self, server: ServerConnection, error: Exception | None) -> None:
        """Handle the end of the server's connection, orderly or with an *error*."""
        if server is not self._server:
            return
        self._server = None
        if self.exchange is None:
            if not self._is_busy() and self._head is None and not self._received:
                self.close()
        elif error is not None:
            self._fail("ReadError", HTTPStatus.BAD_GATEWAY, f"the server broke the connection: {error}")
        else:
            try:
                self.exchange.end()
            except Malformed as malformed:
                self._fail("RemoteProtocolError", HTTPStatus.BAD_GATEWAY, str(malformed))
            else:
                self._end(b"")

    def silent(self, seconds: float) -> None:
        """Give up an answer, because the server sent nothing for this long."""
        why = f"the server sent nothing for {seconds:g} s"
        self._fail("ReadTimeout", HTTPStatus.GATEWAY_TIMEOUT, why)

    def stop(self) -> None:
        """Give up an unfinished answer, because the recording ends."""
        self._fail("Stopped", HTTPStatus.GATEWAY_TIMEOUT, "the recording ended before the answer did")

    def _end(self, passing: bytes) -> None:
        """Journal a complete answer, then pass on its last piece."""
        exchange = self.exchange
        assert exchange is not None
        self._complete(exchange.response())
        if passing:
            self.stream.write(passing)
        if not (exchange.keeps and self._keeps) or (self._half_closed and not self._received):
            self.close()
            return
        if len(self._received) > AHEAD:
            self.stream.resume_reading()
        if self._received:
            self._read()
            if self._half_closed and not self._is_busy():
                self.close_if_idle()
        elif self._owner.stopping:
            self.close()

    def _fail(self, kind: str, status: HTTPStatus, why: str) -> None:
        """Journal that there is no complete answer, and let the client see the same."""
        exchange = self.exchange
        assert exchange is not None
        method = exchange.request.method
        seen = "the answer was cut short" if exchange.started else f"the client got {status.value}"
        self._complete(exchange.failure(kind, f"{why}; {seen}"))
        if exchange.started and (exchange.to_the_end or kind != "RemoteProtocolError"):
            self.break_off()  # an orderly end would look like the end of the answer
            return
        if not exchange.started:
            self.stream.write(own_answer(status, why, method, outcome="unanswered"))
        self.close()

    def _complete(self, outcome: Response | Failure) -> None:
        self._owner.complete(self, outcome)
        self.exchange = None

    def _drop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None and not server.ended:
            server.drop()
