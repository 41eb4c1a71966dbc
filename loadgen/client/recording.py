"""Records requests at the transport, so that a scenario is plain httpx code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import httpx

from loadgen import protocol
from loadgen.client.arriving import Arriving, text
from loadgen.client.limit import Limits, Stopped
from loadgen.client.quick import response
from loadgen.client.stream import Pieces, deadline, is_streamed
from loadgen.client.transport import WireTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.numbering import Numbering
    from loadgen.core.exchange import Failure, Headers, Request, Response
    from loadgen.core.transcript import FailedIteration

SEQ_HEADER = protocol.SEQ_HEADER.encode()
_NUMBER = protocol.SEQ_HEADER.lower()


class Recorder(Protocol):
    """Numbers requests, and writes them with their outcomes."""

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
        """Number a request and write it, before it is sent; *due* is when it should have been sent."""

    def complete(self, outcome: Response | Failure) -> None:
        """Write the outcome of a request."""

    def write(self, event: FailedIteration) -> object:
        """Write the failure of an iteration."""


class RecordingTransport(httpx.AsyncBaseTransport):
    """Numbers and journals the requests of one virtual user, sent through *inner*."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        journal: Recorder,
        user: int,
        stopped: Callable[[], bool],
        limits: Limits | None = None,
        numbering: Numbering | None = None,
    ) -> None:
        self._inner = inner
        self._journal = journal
        self._user = user
        self._stopped = stopped
        self._limits = limits or Limits()
        self._numbering = numbering
        self.due: float | None = None
        """When the next request should be sent, on the journal's clock; set for one request."""
        self.last = 0
        """The last request that was issued; 0: none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Issue *request*, and journal it before and after.

        Its time-out covers the whole request, to the end of the answer.

        Raises:
            Stopped: the run is over.
            httpx.TransportError: there was no complete answer; the journal says so.
        """
        body = await request.aread()
        if self._numbering is not None:
            await self._numbering.turn(self._user)
        if self._stopped():
            raise Stopped
        issued = self._journal.issue(
            self._user,
            request.method,
            request.extensions.get("target", request.url.raw_path).decode("latin-1"),
            _own(text(request.headers)),
            body,
            self.due,
        )
        self.due, self.last = None, issued.seq
        seconds = request.extensions.get("timeout", {}).get("read")
        ends = deadline(seconds)
        arriving = Arriving(issued.seq, in_pieces=is_streamed(request))
        try:
            with self._limits.until(ends, seconds):
                if isinstance(self._inner, WireTransport) and not is_streamed(request):
                    return await self._exchange(self._inner, request, issued.seq, body, arriving)
                answer = await self._inner.handle_async_request(numbered(request, issued.seq))
                arriving.begin_as(answer, _own(text(answer.headers)))
                if not is_streamed(request):
                    await arriving.take_all(answer)
        except BaseException as error:
            # Also if cancelled: while this process lives, each request gets an end.
            self._journal.complete(arriving.failure(type(error).__name__, str(error)))
            raise
        stream: httpx.AsyncByteStream
        if is_streamed(request):
            stream = Pieces(answer, arriving, self._limits, ends, seconds, self._journal.complete)
        else:
            response = arriving.response()
            stream = httpx.ByteStream(response.body)
            self._journal.complete(response)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=stream,
            request=request,
            extensions=answer.extensions,
        )

    async def _exchange(
        self, wire: WireTransport, request: httpx.Request, seq: int, body: bytes, arriving: Arriving
    ) -> httpx.Response:
        """Send *request*, journal its answer, and return it; used by most requests."""
        own = SEQ_HEADER.lower()
        fields = [field for field in request.headers.raw if field[0].lower() != own]
        fields.append((SEQ_HEADER, b"%d" % seq))
        reply = await arriving.receive_from(wire, request, fields, body, _own)
        answer = arriving.response()
        self._journal.complete(answer)
        return response(reply.status, reply.reason, reply.headers, answer.body, request)

    async def aclose(self) -> None:
        """Close the transport underneath."""
        await self._inner.aclose()


def numbered(request: httpx.Request, seq: int) -> httpx.Request:
    """Return a copy of *request* with its number, because httpx copies a request's headers into redirects."""
    headers = [pair for pair in request.headers.raw if pair[0].lower() != SEQ_HEADER.lower()]
    return as_given(
        request.method,
        request.url,
        headers=[*headers, (SEQ_HEADER, b"%d" % seq)],
        stream=request.stream,
        extensions=request.extensions,
    )


def again(request: Request, url: httpx.URL) -> httpx.Request:
    """Return a recorded *request* as it was sent, with its number, to the server at *url*."""
    return as_given(
        request.method,
        url,
        headers=[
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in _own(request.headers)),
            (SEQ_HEADER, b"%d" % request.seq),
        ],
        stream=httpx.ByteStream(request.body),
        extensions={"target": request.target.encode("latin-1")},
    )


def as_given(method: str, url: httpx.URL, **more: Any) -> httpx.Request:
    """Return a request with this *method*, which httpx writes in capitals, and *more* of its arguments."""
    request = httpx.Request(method, url, **more)
    request.method = method
    return request


def _own(headers: Headers) -> Headers:
    """Return *headers* without a number that a scenario may have copied."""
    return tuple([field for field in headers if field[0].lower() != _NUMBER])
