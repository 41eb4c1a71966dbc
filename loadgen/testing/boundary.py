"""A fake replay server in place of the transport: a boundary without network, engine or application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx

from loadgen import protocol
from loadgen.client.arriving import text
from loadgen.client.transport import WireTransport
from loadgen.client.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

URL = "http://replay.test:1"
FIRST_THREAD = 1_000_000


class FakeBoundary(WireTransport):
    """Answers numbered requests with *answer*, and notes the order in which it served them."""

    def __init__(self, answer: Callable[[int, httpx.Request], Awaitable[httpx.Response]]) -> None:
        super().__init__()
        self._answer = answer
        self.order: list[int] = []
        self.reported: list[int] | None = None
        """The order that it reports, if not the true one."""
        self.sent: list[httpx.Request] = []
        self.all_sent = anyio.Event()
        """Set when the client has said that no request will follow."""
        self.state: dict[str, Any] = {
            "protocol": protocol.VERSION,
            "mode": "replay",
            "open": [],
            "diverged": {},
            "tape": {"waiting": [], "next": None, "item": None, "idle": 0.0, "ended": None},
            "first_thread": FIRST_THREAD,
            "database": False,
            "modules": [],
            "on_loop": False,
        }
        self.dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request in memory."""
        if self.dead:
            raise httpx.ConnectError("nobody listens")
        if request.url.path.startswith(protocol.CONTROL):
            name = request.url.path.removeprefix(protocol.CONTROL)
            if name == protocol.ALL_SENT:
                self.all_sent.set()
            return httpx.Response(
                200, json=self.state if name == protocol.STATE else self.reported or self.order
            )
        self.sent.append(request)
        seq = int(request.headers[protocol.SEQ_HEADER])
        self.order.append(seq)
        answer = await self._answer(seq, request)
        self.order.append(-seq)
        return answer

    async def carry(
        self, request: httpx.Request, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        """Serve one request in memory; its number is in *request*, too."""
        del headers, body
        return _Received(await self.handle_async_request(request))


class _Received(Reply):
    """An answer that was made in memory."""

    __slots__ = ("_answer", "_pieces")

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.reason = answer.reason_phrase
        self.headers = text(answer.headers)
        self._answer = answer
        self._pieces: list[bytes] = []

    async def read(self) -> bytes:
        """Return the whole body."""
        assert isinstance(self._answer.stream, httpx.AsyncByteStream)
        async for piece in self._answer.stream:
            self._pieces.append(piece)
        content, self._pieces = self._pieces, []
        return b"".join(content)

    def rest(self) -> bytes:
        """Return what has come of the body, and was not returned yet."""
        return b"".join(self._pieces)

    def close(self) -> None:
        """Nothing is open."""
