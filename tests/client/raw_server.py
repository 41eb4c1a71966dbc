"""A server that keeps every byte it is sent, and answers with the bytes that a test gives it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as its bytes."""

    head: bytes
    """From the request line to the empty line."""
    body: bytes

    @property
    def first_line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n")[0]

    @property
    def target(self) -> bytes:
        """The request target."""
        return self.first_line.split(b" ")[1]


@dataclass(slots=True)
class RawServer:
    """What was seen of the clients."""

    url: str
    connections: int = 0
    requests: list[Received] = field(default_factory=list)


@asynccontextmanager
async def raw_server(answer: Callable[[Received], Awaitable[bytes | None]]) -> AsyncIterator[RawServer]:
    """Serve on loopback; the connection is closed if *answer* returns nothing, or an unfinished answer."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    server = RawServer(f"http://127.0.0.1:{port}")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        server.connections += 1
        async with stream:
            buffered = BufferedByteReceiveStream(stream)
            try:
                while True:
                    received = await _receive(buffered)
                    server.requests.append(received)
                    reply = await answer(received)
                    if reply is None:
                        return
                    await stream.send(reply)
                    if not _is_whole(received, reply):
                        return
            except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.EndOfStream):
                return  # the client is gone

    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, serve)
        try:
            yield server
        finally:
            serving.cancel_scope.cancel()


async def _receive(buffered: BufferedByteReceiveStream) -> Received:
    end = b"\r\n\r\n"
    head = await buffered.receive_until(end, 1 << 20) + end
    length = _content_length(head)
    if b"transfer-encoding: chunked" in head.lower():
        body = await buffered.receive_until(b"0\r\n\r\n", 1 << 20) + b"0\r\n\r\n"
    else:
        body = await buffered.receive_exactly(length) if length else b""
    return Received(head, body)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


def _is_whole(received: Received, reply: bytes) -> bool:
    head, _, body = reply.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    if received.head.startswith(b"HEAD ") or reply.startswith(b"HTTP/1.1 204"):
        return True
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return _content_length(head) == len(body)
