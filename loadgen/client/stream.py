"""An answer that is yielded piece by piece, for ``user.http.stream()``.

It is journaled as one answer with the sizes of its pieces when it has ended; or as a failure with the pieces
so far, if it breaks off, takes too long, or the client closes it early.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from loadgen.client.arriving import Arriving
    from loadgen.client.limit import Limits
    from loadgen.core.exchange import Outcome

LEFT = "ClientLeft"
"""The kind of failure in which the client closed the answer early."""
_STREAMED = "loadgen.streamed"


class Client(httpx.AsyncClient):
    """A client that tells its transport which answers are wanted piece by piece."""

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send *request*; see httpx."""
        if stream:
            request.extensions = {**request.extensions, _STREAMED: True}
        return await super().send(request, stream=stream, **options)


def is_streamed(request: httpx.Request) -> bool:
    """Whether the answer to *request* is wanted piece by piece."""
    return _STREAMED in request.extensions


class Pieces(httpx.AsyncByteStream):
    """The body of one answer, journalled by *complete* once, however it ends."""

    def __init__(
        self,
        answer: httpx.Response,
        arriving: Arriving,
        limits: Limits,
        deadline: float,
        seconds: float | None,
        complete: Callable[[Outcome], None],
    ) -> None:
        self._answer = answer
        self._arriving = arriving
        self._limits = limits
        self._deadline = deadline
        self._seconds = seconds
        self._complete = complete
        self._is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._answer.stream, httpx.AsyncByteStream)
        pieces = aiter(self._answer.stream)
        while True:
            try:
                with self._limits.until(self._deadline, self._seconds):
                    piece = await anext(pieces, None)
            except BaseException as error:
                self._fail(type(error).__name__, str(error))
                raise
            if piece is None:
                break
            if piece:
                self._arriving.take(piece)
                yield piece
        if not self._is_complete:
            self._is_complete = True
            self._complete(self._arriving.response())

    async def aclose(self) -> None:
        """Close the answer; if it has not ended, the client has closed it early."""
        self._fail(LEFT, "the client closed the stream")
        with anyio.CancelScope(shield=True):
            await self._answer.aclose()

    def _fail(self, kind: str, message: str) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._complete(self._arriving.failure(kind, message))


def deadline(seconds: float | None) -> float:
    """Return the time in *seconds* from now, on the event loop's clock; infinity for None."""
    return math.inf if seconds is None else anyio.current_time() + seconds
