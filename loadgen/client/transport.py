"""The wire: an httpx transport on aiohttp that sends a request exactly as it is, and exactly once.

Over httpx's own transport it costs a third of the processor time a request (``benchmarks/transport.py``).
aiohttp's client would still normalise headers, re-quote targets and silently send idempotent requests twice
after a lost connection; its middleware hook is used to have none of that, and to map its errors to httpx's.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_AT_ONCE = 1 << 20
"""Bytes of a body that are sent in one piece; of more, aiohttp warns that it holds up everybody else."""
_NEVER_ADDED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class WireTransport(httpx.AsyncBaseTransport):
    """Carries requests with the headers and the target they were given, over connections of its own."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* once; its target is ``extensions["target"]`` where given, as in httpx.

        Raises:
            httpx.TransportError: there is no (whole) answer.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_NEVER_ADDED,
                timeout=aiohttp.ClientTimeout(total=None),
                max_line_size=1 << 20,
                max_field_size=1 << 20,
            )
        body = await request.aread()
        try:
            headers = CIMultiDict((name.decode(), value.decode()) for name, value in request.headers.raw)
            target = request.extensions.get("target", request.url.raw_path).decode()
        except UnicodeDecodeError as error:
            raise httpx.LocalProtocolError(f"{request.method} {request.url}: {error}") from error

        async def exactly_once(
            outgoing: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            outgoing.headers = headers
            outgoing.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower() or None
            try:
                return await send(outgoing)
            except (aiohttp.ClientError, OSError) as error:
                # aiohttp sends again when it sees an error of its own here, so it must not.
                raise _translated(error) from error

        url = request.url
        limits = request.extensions.get("timeout", {})
        try:
            answer = await self._session.request(
                request.method,
                URL.build(scheme=url.scheme, host=url.host, port=url.port, path=target, encoded=True),
                data=io.BytesIO(body) if len(body) > _AT_ONCE else body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_read=limits.get("read"), sock_connect=limits.get("connect")
                ),
                middlewares=(exactly_once,),
            )
        except ValueError as error:  # a request that cannot be put on the wire as it is
            raise httpx.LocalProtocolError(f"{request.method} {url}: {error}") from error
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        self._answer.release()


def _translated(error: Exception) -> httpx.TransportError:
    message = str(error) or type(error).__name__
    match error:
        case aiohttp.SocketTimeoutError():
            return httpx.ReadTimeout(message)
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(message)
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(message)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(message)
    return httpx.ReadError(message)
