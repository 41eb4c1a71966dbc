"""An answer while it arrives: if it breaks off, the received part belongs to the outcome of its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from loadgen.client.connection import NoAnswer
from loadgen.client.transport import WireTransport, translated
from loadgen.core.exchange import Failure, Headers, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadgen.client.wire import Reply
    from loadgen.core.exchange import Outcome


class Arriving:
    """The answer to one request, as far as it has arrived."""

    __slots__ = ("_head", "_in_pieces", "_pieces", "_seq")

    def __init__(self, seq: int, *, in_pieces: bool = False) -> None:
        """With *in_pieces*, also keep the sizes of the pieces."""
        self._seq = seq
        self._in_pieces = in_pieces
        self._head: tuple[int, str | None, Headers] | None = None
        self._pieces: list[bytes] = []

    def begin(self, status: int, reason: str | None, headers: Headers) -> None:
        """Set the head."""
        self._head = status, reason, headers

    def begin_as(self, answer: httpx.Response, headers: Headers) -> None:
        """Set the head from *answer*, with its *headers*."""
        reason = answer.extensions.get("reason_phrase")
        self.begin(answer.status_code, None if reason is None else reason.decode("latin-1"), headers)

    def take(self, piece: bytes) -> None:
        """Append bytes of the body."""
        if piece:
            self._pieces.append(piece)

    async def receive(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        """Send *request*, and receive its complete answer, as on the wire.

        Raises:
            httpx.TransportError: there is no complete answer.
        """
        if isinstance(transport, WireTransport):
            await self.receive_from(transport, request, request.headers.raw, await request.aread())
            return
        answer = await transport.handle_async_request(request)
        self.begin_as(answer, text(answer.headers))
        await self.take_all(answer)

    async def receive_from(
        self,
        wire: WireTransport,
        request: httpx.Request,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        own: Callable[[Headers], Headers] = lambda headers: headers,
    ) -> Reply:
        """Send *request* with different *fields*, and receive its complete answer.

        *own* selects among its headers.

        Raises:
            httpx.TransportError: there is no complete answer.
        """
        reply = await wire.carry(request, fields, body)
        self.begin(reply.status, reply.reason, own(reply.headers))
        try:
            self.take(await reply.read())
        except BaseException as error:
            self.take(reply.rest())
            if isinstance(error, NoAnswer):
                raise translated(error) from error
            raise
        finally:
            reply.close()
        return reply

    async def outcome(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Outcome:
        """Send *request*, and return how it ended."""
        try:
            await self.receive(transport, request)
        except httpx.TransportError as error:
            return self.failure(type(error).__name__, str(error))
        return self.response()

    async def take_all(self, answer: httpx.Response) -> None:
        """Receive the body of *answer*, and close it."""
        try:
            async for piece in answer.stream:  # type: ignore[union-attr]
                self.take(piece)
        finally:
            await answer.aclose()

    def response(self) -> Response:
        """Return the complete answer."""
        assert self._head is not None
        status, reason, headers = self._head
        return Response(self._seq, status, headers, b"".join(self._pieces), self._sizes(), reason)

    def failure(self, kind: str, message: str) -> Failure:
        """Return the failure of the request, with the received part of the answer."""
        sizes, self._in_pieces = self._sizes(), False
        return Failure(self._seq, kind, message, sizes, self.response() if self._head else None)

    def _sizes(self) -> tuple[int, ...]:
        return tuple(map(len, self._pieces)) if self._in_pieces else ()


def text(headers: httpx.Headers) -> Headers:
    """Return *headers* in wire order, as text."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw)
