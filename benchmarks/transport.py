"""What one request costs the client, by the transport that carries it.

A load generator that spends its own processor on each request measures itself instead of the server.
This compares three ways to send the same small JSON POST over kept-alive connections, from eight clients
at once:

* ``httpx``: ``httpx.AsyncClient`` on its own transport (httpcore),
* ``wire``: ``httpx.AsyncClient`` on :class:`loadgen.client.transport.WireTransport`, as scenarios send,
* ``direct``: that same transport called without an ``AsyncClient``, as a replay sends.

They take turns within one run (A B C A B C ...), so what disturbs the machine for a while disturbs all of
them; read the ratios, for the absolute numbers are this machine's. The server is a bare protocol in a
process of its own which answers from a constant, so that neither it nor a framework is what is measured.

    python benchmarks/transport.py [--requests N] [--rounds R]

The run fails if an answer is wrong, never because one was slow.
"""

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import httpx

from loadgen.client.transport import WireTransport

CLIENTS = 8
WARM_UP = 25 * CLIENTS  # opens every connection, and takes first-call costs out of the timed part
BODY = b'{"account":"a-1","amount":12,"currency":"EUR"}'
ANSWER = b'{"ok":true}'
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
)
HEADERS = {"Content-Type": "application/json"}
TIMEOUTS = {"timeout": httpx.Timeout(5).as_dict()}  # what an AsyncClient sets by itself

Send = Callable[[], Awaitable[httpx.Response]]
Sender = Callable[[str], AbstractAsyncContextManager[Send]]


class Server(asyncio.Protocol):
    """Answers each complete request with the one constant reply."""

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete; a client may send its headers and its body in separate packets."""
        assert self._transport is not None
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            if len(self._pending) < end + 4 + length:
                return
            self._pending = self._pending[end + 4 + length :]
            self._transport.write(REPLY)


async def serve() -> None:
    """Serve until standard input ends, which it also does when the parent is killed."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


@asynccontextmanager
async def through_client(url: str, transport: httpx.AsyncBaseTransport) -> AsyncGenerator[Send]:
    """Send through an ``AsyncClient``, environment ignored: no proxy may come between."""
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:

        async def send() -> httpx.Response:
            return await client.post(url, content=BODY, headers=HEADERS)

        yield send


def plain(url: str) -> AbstractAsyncContextManager[Send]:
    """Send through httpx as it comes."""
    return through_client(url, httpx.AsyncHTTPTransport())


def wire(url: str) -> AbstractAsyncContextManager[Send]:
    """Send through httpx on the wire transport, as scenarios do."""
    return through_client(url, WireTransport())


@asynccontextmanager
async def direct(url: str) -> AsyncGenerator[Send]:
    """Send on the wire transport alone; the request is built anew each time, as a replay does."""
    async with WireTransport() as transport:

        async def send() -> httpx.Response:
            request = httpx.Request("POST", url, content=BODY, headers=HEADERS, extensions=TIMEOUTS)
            response = await transport.handle_async_request(request)
            await response.aread()  # also gives the connection back
            return response

        yield send


SENDERS: dict[str, Sender] = {"httpx": plain, "wire": wire, "direct": direct}


@dataclass(frozen=True)
class Turn:
    """One transport's turn: how fast it went and what it cost the client's processor."""

    per_second: float
    cpu_us: float


async def exchange(send: Send, requests: int) -> None:
    """Share that many requests among the clients, each sending its next when it has its answer."""
    remaining = iter(range(requests))

    async def client() -> None:
        for _ in remaining:
            response = await send()
            if response.status_code != httpx.codes.OK or response.content != ANSWER:
                raise RuntimeError(f"wrong answer: {response.status_code} {response.content!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())


async def measure(sender: Sender, url: str, requests: int) -> Turn:
    """Time one turn on warm connections of its own."""
    async with sender(url) as send:
        await exchange(send, WARM_UP)
        gc.collect()  # the previous turn's garbage is not this one's cost
        wall, cpu = time.perf_counter(), time.process_time()
        await exchange(send, requests)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Turn(per_second=requests / wall, cpu_us=cpu / requests * 1e6)


async def compare(url: str, requests: int, rounds: int) -> dict[str, list[Turn]]:
    """Let the transports take turns, round after round."""
    turns: dict[str, list[Turn]] = {name: [] for name in SENDERS}
    for _ in range(rounds):
        for name, sender in SENDERS.items():
            turns[name].append(await measure(sender, url, requests))
    return turns


def report(turns: dict[str, list[Turn]]) -> None:
    """Print each transport's medians, and their ratios to plain httpx."""
    speed = {name: statistics.median(turn.per_second for turn in taken) for name, taken in turns.items()}
    cpu = {name: statistics.median(turn.cpu_us for turn in taken) for name, taken in turns.items()}
    print(f"{'transport':<10}{'requests/s':>12}{'ratio':>8}{'CPU us/request':>17}{'ratio':>8}")
    for name in turns:
        print(
            f"{name:<10}{speed[name]:>12.0f}{speed[name] / speed['httpx']:>8.2f}"
            f"{cpu[name]:>17.0f}{cpu[name] / cpu['httpx']:>8.2f}"
        )


def main() -> None:
    """Start the server, compare the transports, print the table."""
    parser = argparse.ArgumentParser(description="What one request costs the client, by transport.")
    parser.add_argument("--requests", type=int, default=2000, help="per transport and round (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="turns each transport takes (default: 5)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.requests < 1 or options.rounds < 1:
        parser.error("--requests and --rounds must be at least 1")

    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/orders"
        print(f"{CLIENTS} clients, {options.requests} requests a turn, {options.rounds} rounds")
        report(asyncio.run(compare(url, options.requests, options.rounds)))


if __name__ == "__main__":
    main()
