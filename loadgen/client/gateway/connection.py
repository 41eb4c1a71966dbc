"""A client's connection, and the server's connection behind it.

Each connection of a client has one of its own to the server: what the server does to it (keeps it, closes it,
breaks off) happens to the client, too, and what the client does to its own happens to the server.

These are protocols of asyncio rather than anyio streams: everything happens in the callback that brings the
bytes, without a task or a wait. A request costs a fraction of the processor time that way
(``benchmarks/gateway.py``), and numbering it, journalling it and sending it are one step.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

from loadgen.client.gateway.admission import FOR_THE_PROXY
from loadgen.client.gateway.exchange import CONTINUE, Exchange, own_answer
from loadgen.core.exchange import Failure
from loadgen.core.http1 import HEAD_LIMIT, Malformed, Refused, check_beginning, head_end, request_head

if TYPE_CHECKING:
    from loadgen.core.exchange import Headers, Request, Response
    from loadgen.core.http1 import Body, RequestHead

AHEAD = 1 << 16
"""Bytes of later requests that are read while one is open."""
LINGER = 2.0
"""Seconds in which a refused client may go on sending, so that it gets to read the answer."""
AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing breaks the connection instead of ending it in order."""


class Owner(Protocol):
    """What a connection asks of the gateway; see :class:`loadgen.client.gateway.listener.Gateway`."""

    server: tuple[str, int]

    def opened(self, one: ClientConnection) -> None:
        """Note a new connection."""

    def closing(self, one: ClientConnection) -> None:
        """Note that it is about to end: its lane is free."""

    def closed(self, one: ClientConnection) -> None:
        """Note that it has ended."""

    def admit(self, head: RequestHead) -> str:
        """Return the target under which the server gets a request; or raise Refused."""

    def issue(
        self, one: ClientConnection, head: RequestHead, target: str, headers: Headers, body: bytes
    ) -> Request | None:
        """Number and journal a request; None: that has failed, and the recording is over."""

    def complete(self, one: ClientConnection, outcome: Response | Failure) -> None:
        """Journal how a request ended."""

    def refused(self, why: Refused) -> None:
        """Count a request that was not taken."""

    def left(self, when: str) -> None:
        """Count a client that left early."""

    @property
    def stopping(self) -> bool:
        """Whether no more requests are taken."""


class ServerConnection(asyncio.Protocol):
    """The connection to the server behind a client's."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self.transport = cast(asyncio.Transport, None)
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass on a piece of an answer."""
        self._client.answered(self, data)

    def eof_received(self) -> None:
        """Take the end, which may be that of an answer."""
        self.ended = True
        self._client.server_ended(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end, in disorder unless it was seen before."""
        if not self.ended:
            self.ended = True
            self._client.server_ended(self, exc)


class ClientConnection(asyncio.Protocol):
    """A client's connection: requests one after the other, each with its answer."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self.lane: int | None = None
        """The number of its lane, once it has sent a request."""
        self.exchange: Exchange | None = None
        """The request that is open."""
        self.is_slow = False
        """Whether it does not read its answer as fast as that comes."""
        self._server: ServerConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._received = b""
        """What came, and is not part of the present request."""
        self._head: RequestHead | None = None
        self._body: Body | None = None
        self._target = ""
        self._raw: list[bytes] = []
        """The present request's bytes: its first line, then the rest as it comes."""
        self._continued = False
        self._keeps = True
        self._half_closed = False
        self._over = False
        """Whether it is being closed: nothing that comes counts any more."""

    # ---- the client ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests."""
        if self._over:
            return
        self._received = self._received + data if self._received else data
        if self._is_busy():
            if len(self._received) > AHEAD:
                self.transport.pause_reading()
        else:
            self._read()

    def eof_received(self) -> bool:
        """Take the end of the requests; the client may still read answers."""
        self._half_closed = True
        return self._is_busy()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone, which the server notices, too."""
        del exc
        if self.exchange is not None:
            when = "in the middle of an answer" if self.exchange.started else "before its answer"
            self._owner.left(when)
            self._complete(Failure(self.exchange.request.seq, "ClientLeft", f"the client left {when}"))
        elif not self._over and (self._head is not None or self._received or self._connecting):
            self._owner.left("in the middle of a request")
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop_server()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """Let the server wait until the client has read more."""
        self.is_slow = True
        if self._server is not None and not self._server.ended:
            self._server.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the answer come again."""
        self.is_slow = False
        if self.exchange is not None:
            self.exchange.heard = self._loop.time()
        if self._server is not None and not self._server.ended:
            self._server.transport.resume_reading()

    def close(self) -> None:
        """Close it in order, after what was written."""
        if not self._over:
            self._over = True
            self._owner.closing(self)
            self._drop_server()
            self.transport.close()

    def break_off(self) -> None:
        """End it in disorder."""
        self._over = True
        self._owner.closing(self)
        self._drop_server()
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def close_if_idle(self) -> None:
        """Close it unless a request is open; one that is not whole yet will not be taken."""
        if not self._is_busy():
            if self._head is not None or self._received:
                self._owner.left("in the middle of a request")
            self.close()

    # ---- requests -----------------------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return self.exchange is not None or self._connecting is not None

    def _read(self) -> None:
        """Read the next request, and send it on once it is whole."""
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
            self._connecting = self._loop.create_task(self._connect_and_send())

    def _read_head(self) -> bool:
        received = self._received
        if received[:1] in {b"\r", b"\n"}:  # empty lines before a request mean nothing
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
            self.transport.write(CONTINUE)
        return True

    def _read_body(self) -> bool:
        assert self._body is not None
        if self._received and not self._body.ended:
            taken = self._body.take(self._received)
            self._raw.append(self._received[:taken])
            self._received = self._received[taken:]
        return self._body.ended

    async def _connect_and_send(self) -> None:
        """Connect to the server first: what was numbered is sent at once, in the order of the numbers."""
        family = socket.AF_INET6 if ":" in self._owner.server[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await self._loop.sock_connect(connection, self._owner.server)
            _, server = await self._loop.create_connection(lambda: ServerConnection(self), sock=connection)
        except OSError as error:
            connection.close()
            self._connecting = None
            if self._issue() is not None:
                self._fail(
                    "ConnectError", HTTPStatus.BAD_GATEWAY, f"the server could not be reached: {error}"
                )
        else:
            self._connecting = None
            self._server = server
            self._send(server)

    def _send(self, server: ServerConnection) -> None:
        request = self._issue()
        if request is None:
            return
        first, *rest = self._raw
        self._raw = []
        server.transport.write(b"".join((first, b"X-Loadgen-Seq: %d\r\n" % request.seq, *rest)))

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
            self.transport.abort()
        else:
            self.exchange = Exchange(request, continued=self._continued, now=self._loop.time())
        return request

    def _refuse(self, refused: Refused) -> None:
        """Answer what is not taken, and close once the client has had time to read that."""
        self._owner.refused(refused)
        self._over = True
        self._drop_server()
        method = self._head.method if self._head else ""
        self.transport.write(own_answer(refused.status, refused.why, method))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._loop.call_later(LINGER, self.transport.abort)

    # ---- answers ------------------------------------------------------------------------------------------

    def answered(self, server: ServerConnection, data: bytes) -> None:
        """Pass on what the server sent."""
        exchange = self.exchange
        if exchange is None or server is not self._server:
            server.ended = True  # nobody asked
            server.transport.abort()
            return
        exchange.heard = self._loop.time()
        try:
            passing = exchange.take(data)
        except Malformed as error:
            self._fail("RemoteProtocolError", HTTPStatus.BAD_GATEWAY, f"the server sent {error}")
            return
        if exchange.ended:
            self._end(passing)
        elif passing:
            self.transport.write(passing)

    def server_ended(self, server: ServerConnection, error: Exception | None) -> None:
        """Take the end of the server's connection, in order or with an *error*."""
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
        """Give up an answer: the server was not heard for so long."""
        why = f"the server sent nothing for {seconds:g} s"
        self._fail("ReadTimeout", HTTPStatus.GATEWAY_TIMEOUT, why)

    def stop(self) -> None:
        """Give up an answer that does not come to its end: the recording does."""
        self._fail("Stopped", HTTPStatus.GATEWAY_TIMEOUT, "the recording ended before the answer did")

    def _end(self, passing: bytes) -> None:
        """Journal a whole answer, then let its last piece pass."""
        exchange = self.exchange
        assert exchange is not None
        self._complete(exchange.response())
        if passing:
            self.transport.write(passing)
        if not (exchange.keeps and self._keeps) or (self._half_closed and not self._received):
            self.close()
            return
        if len(self._received) > AHEAD:
            self.transport.resume_reading()
        if self._received:
            self._read()
            if self._half_closed and not self._is_busy():
                self.close_if_idle()
        elif self._owner.stopping:
            self.close()

    def _fail(self, kind: str, status: HTTPStatus, why: str) -> None:
        """Journal that there is no answer, or no whole one, and let the client see the same."""
        exchange = self.exchange
        assert exchange is not None
        method = exchange.request.method
        seen = "the answer was cut short" if exchange.started else f"the client got {status.value}"
        self._complete(Failure(exchange.request.seq, kind, f"{why}; {seen}"))
        if exchange.started and (exchange.to_the_end or kind != "RemoteProtocolError"):
            self.break_off()  # an orderly end would look like that of the answer
            return
        if not exchange.started:
            self.transport.write(own_answer(status, why, method, outcome="unanswered"))
        self.close()

    def _complete(self, outcome: Response | Failure) -> None:
        self._owner.complete(self, outcome)
        self.exchange = None

    def _drop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None and not server.ended:
            server.ended = True
            server.transport.abort()
