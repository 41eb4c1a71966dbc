"""Recording happens at the transport: a scenario is plain httpx code and does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import httpx

from loadgen import protocol
from loadgen.client.limit import Limits, Stopped
from loadgen.client.stream import Pieces, deadline, is_streamed
from loadgen.core.exchange import Failure, Headers, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.transcript import FailedIteration

SEQ_HEADER = protocol.SEQ_HEADER.encode()


class Notes(Protocol):
    """Where requests are numbered, and written down with what became of them."""

    @property
    def elapsed(self) -> float:
        """Seconds since the session began."""

    def issue(
        self,
        user: int,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        due: float | None = None,
    ) -> Request:
        """Number a request and write it down, before it is sent; *due* is when it should have been."""

    def complete(self, outcome: Response | Failure) -> None:
        """Write down how a request ended."""

    def write(self, event: FailedIteration) -> object:
        """Write down how an iteration failed."""


class RecordingTransport(httpx.AsyncBaseTransport):
    """Numbers and journals what one virtual user sends through *inner*."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        journal: Notes,
        user: int,
        stopped: Callable[[], bool],
        limits: Limits | None = None,
    ) -> None:
        self._inner = inner
        self._journal = journal
        self._user = user
        self._stopped = stopped
        self._limits = limits or Limits()
        self.due: float | None = None
        """When the next request should be sent, on the journal's clock; set for one request."""
        self.last = 0
        """The last request that was issued; 0: none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Issue *request*, and journal it before and after.

        Its time-out is that of all of it, from here to the end of the answer.

        Raises:
            Stopped: the run is over.
            httpx.TransportError: there was no whole answer; the journal says so.
        """
        body = await request.aread()
        if self._stopped():
            raise Stopped
        issued = self._journal.issue(
            self._user,
            request.method,
            request.extensions.get("target", request.url.raw_path).decode("latin-1"),
            _text(request.headers),
            body,
            self.due,
        )
        self.due, self.last = None, issued.seq
        seconds = request.extensions.get("timeout", {}).get("read")
        ends, sent = deadline(seconds), numbered(request, issued.seq)
        try:
            with self._limits.until(ends, seconds):
                if is_streamed(request):
                    answer, content = await self._inner.handle_async_request(sent), None
                else:
                    answer, content = await exchange(self._inner, sent)
        except BaseException as error:
            # Also when cancelled: a request is never left without an end while this process lives.
            self._journal.complete(Failure(issued.seq, type(error).__name__, str(error)))
            raise
        headers = _text(answer.headers)
        stream: httpx.AsyncByteStream
        if content is None:
            head = (issued.seq, answer.status_code, headers)
            stream = Pieces(answer, head, self._limits, ends, seconds, self._journal.complete)
        else:
            stream = httpx.ByteStream(content)
            self._journal.complete(Response(issued.seq, answer.status_code, headers, content))
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=stream,
            request=request,
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close the transport underneath."""
        await self._inner.aclose()


def numbered(request: httpx.Request, seq: int) -> httpx.Request:
    """Return a copy of *request* with its number: httpx copies a request's own headers into redirects."""
    headers = [pair for pair in request.headers.raw if pair[0].lower() != SEQ_HEADER.lower()]
    return httpx.Request(
        request.method,
        request.url,
        headers=[*headers, (SEQ_HEADER, b"%d" % seq)],
        stream=request.stream,
        extensions=request.extensions,
    )


async def exchange(
    transport: httpx.AsyncBaseTransport, request: httpx.Request
) -> tuple[httpx.Response, bytes]:
    """Send *request*; return the answer and its whole body, as it was on the wire."""
    answer = await transport.handle_async_request(request)
    try:
        return answer, b"".join([chunk async for chunk in answer.stream])  # type: ignore[union-attr]
    finally:
        await answer.aclose()


def _text(headers: httpx.Headers) -> Headers:
    """Return *headers* in wire order, without a number that a scenario may have copied."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers.raw
        if name.lower() != SEQ_HEADER.lower()
    )
