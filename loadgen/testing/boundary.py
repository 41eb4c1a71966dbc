"""A fake replay server in place of the transport: a boundary without network, engine or application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx

from loadgen import protocol
from loadgen.client.transport import WireTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
