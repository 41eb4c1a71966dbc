"""A gateway between a raw client and a raw server: both ends of a test see every byte."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from loadgen.client.gateway.listener import Gateway
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import Run
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from anyio.abc import SocketStream

    from loadgen.client.gateway.users import UserBy

LIMIT = 10
"""Seconds after which a test that waits has failed."""
NUMBER = re.compile(rb"X-Loadgen-Seq: [0-9]+\r\n")
SEEN = b"X-Loadgen-Served: record\r\n"
"""What the boundary adds to an answer."""


class Wire:
    """One end of a connection."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._read = BufferedByteReceiveStream(stream)

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        await self.stream.send(data)

    async def exactly(self, count: int) -> bytes:
        """Receive *count* bytes."""
        with anyio.fail_after(LIMIT):
            return await self._read.receive_exactly(count) if count else b""

    async def until(self, end: bytes) -> bytes:
        """Receive up to *end*, which is included."""
        with anyio.fail_after(LIMIT):
            return await self._read.receive_until(end, 1 << 24) + end

    async def send_for_ever(self, data: bytes) -> None:
        """Send the same bytes repeatedly; raises BrokenResourceError when they are no longer read."""
        while True:
            await self.stream.send(data)
            await anyio.sleep(0.01)

    async def message(self, body: int = 0) -> bytes:
        """Receive a head, and a body of so many bytes."""
        return await self.until(b"\r\n\r\n") + await self.exactly(body)

    async def rest(self) -> bytes:
        """Receive until the other end closes; raises BrokenResourceError if it breaks off."""
        pieces = []
        with anyio.fail_after(LIMIT):
            while True:
                try:
                    pieces.append(await self._read.receive())
                except anyio.EndOfStream:
                    return b"".join(pieces)

    async def silent(self, seconds: float = 0.1) -> bool:
        """Return whether nothing arrives for a moment."""
        with anyio.move_on_after(seconds):
            await self._read.receive_exactly(1)
            return False
        return True

    async def close(self) -> None:
        """Close this end."""
        await self.stream.aclose()


@dataclass
class Bench:
    """A gateway, its journal, and the server's listener."""

    gateway: Gateway
    journal: Journal
    url: str
    folder: Path
    accepted: anyio.abc.ObjectReceiveStream[Wire]
    stack: AsyncExitStack

    @property
    def port(self) -> int:
        """The gateway's port."""
        return int(self.url.rpartition(":")[2])

    async def client(self) -> Wire:
        """Connect to the gateway."""
        wire = Wire(await anyio.connect_tcp("127.0.0.1", self.port))
        self.stack.push_async_callback(wire.close)
        return wire

    async def server(self) -> Wire:
        """Return the next connection that the server gets."""
        with anyio.fail_after(LIMIT):
            wire = await self.accepted.receive()
        self.stack.push_async_callback(wire.close)
        return wire

    async def journalled(self, count: int) -> None:
        """Wait until *count* requests have ended."""
        with anyio.fail_after(LIMIT):
            while self.journal.failures + sum(self.journal.statuses.values()) < count:  # noqa: ASYNC110
                await anyio.sleep(0.005)

    def events(self) -> list[Request | Response | Failure]:
        """Return what the journal has."""
        transcript = self.folder / "transcript"
        with read_transcript(transcript, self.folder / "bodies") as events:
            return [one for one in events if isinstance(one, (Request, Response, Failure))]


@asynccontextmanager
async def bench(
    folder: Path,
    *,
    timeout: float = 5,  # noqa: ASYNC109 - the gateway's own
    by: UserBy | None = None,
    hosts: Collection[str] = (),
) -> AsyncIterator[Bench]:
    """Open a gateway to a listener of the test's own."""
    give, take = anyio.create_memory_object_stream[Wire](100)

    async def accept(stream: SocketStream) -> None:
        async with stream:
            await give.send(Wire(stream))
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, give, take, AsyncExitStack() as stack, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, accept)
        with Journal(folder / "transcript", folder / "bodies") as journal:
            journal.write(Run("r", "gateway", 0, 0, 1, ""))
            gateway = Gateway(f"http://127.0.0.1:{port}", journal, timeout=timeout, by=by, hosts=hosts)
            async with gateway.listening("127.0.0.1", 0) as url:
                try:
                    yield Bench(gateway, journal, url, folder, take, stack)
                finally:
                    serving.cancel_scope.cancel()


def numbered(received: bytes) -> bytes:
    """Return what the server received without the number, which it must have once."""
    plain, found = NUMBER.subn(b"", received)
    assert found == 1, received
    return plain
