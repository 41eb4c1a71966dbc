"""An httpx transport that sends a request exactly as it is, and exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from loadgen.client.connection import NoAnswer
from loadgen.client.wire import Reply, Wire, request_bytes
from loadgen.protocol import OVER_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


UNANSWERED = (httpx.TimeoutException, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""Errors that are outcomes of a request, after which a client that follows a list sends the next one."""


class WireTransport(httpx.AsyncBaseTransport):
    """Sends requests with their given headers and target, over its own connections."""

    def __init__(self, *, reuse: bool = True) -> None:
        """*reuse*: whether a connection is used again behind any answer, or only behind one that says so.

        A server reads no further on a connection before the application has ended, which may be long after
        the client has its answer. By then, the application may be waiting for the next request of a recorded
        order. :data:`loadgen.protocol.OVER_HEADER` says that it does not.
        """
        self._wires: dict[bytes, Wire] = {}
        self._only_behind = "" if reuse else OVER_HEADER

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* once; its target is ``extensions["target"]`` if given, as in httpx.

        Raises:
            httpx.TransportError: there is no complete answer.
        """
        reply = await self.carry(request, request.headers.raw, await request.aread())
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        return httpx.Response(
            reply.status,
            headers=headers,
            stream=_Body(reply),
            request=request,
            extensions={"reason_phrase": reply.reason.encode("latin-1")},
        )

    async def carry(
        self, request: httpx.Request, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        """Send *request* once, with different *headers*; return its answer when the head has arrived.

        Raises:
            httpx.TransportError: there is no answer.
        """
        url, extensions = request.url, request.extensions
        limits = extensions.get("timeout", {})
        try:
            target = extensions.get("target", url.raw_path)
            raw = request_bytes(request.method, target, headers, body)
            wire = self._wire(url)
            return await wire.send(
                request.method, raw, connect=limits.get("connect"), read=limits.get("read")
            )
        except NoAnswer as error:
            raise translated(error) from error

    def _wire(self, url: httpx.URL) -> Wire:
        """Return the connections to the server of *url*.

        Raises:
            httpx.UnsupportedProtocol: it does not speak plain HTTP.
        """
        wire = self._wires.get(url.netloc)
        if wire is None:
            if url.scheme != "http":
                raise httpx.UnsupportedProtocol(f"{url}: only plain HTTP is spoken here")
            wire = Wire(url.host, url.port or 80, only_behind=self._only_behind)
            self._wires[url.netloc] = wire
        return wire

    async def aclose(self) -> None:
        """Close every connection."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._reply.pieces():
                yield piece
        except NoAnswer as error:
            raise translated(error) from error

    async def aclose(self) -> None:
        self._reply.close()


def translated(error: NoAnswer) -> httpx.TransportError:
    """Return the exception that httpx would raise."""
    kind: type[httpx.TransportError] = getattr(httpx, error.kind)
    return kind(str(error))
