"""What one request costs the gateway, beside what it costs loadgen's own virtual users.

A recorder that spends more than its client measures itself. Both send the same small JSON POST, eight at a
time, to the same server (a bare protocol in a process of its own that answers from a constant), both write a
real journal, and both are measured by the processor time of the process that does so:

* ``own client``: eight virtual users of a scenario, as ``loadgen record`` runs them;
* ``gateway``: eight clients (in a process of their own) through the gateway;
* ``bytes passed on``: the same clients through the least that a gateway in Python can be: sockets and
  ``epoll``, no HTTP, no journal. What it takes is what the kernel and the calls of it take.

They take turns within one run, so what disturbs the machine for a while disturbs both; read the ratio. It is
measured with connections that are kept, and with a server that closes each one, as Flask's own does.

With ``--recorded`` it asks instead which of the two is the bottleneck of a recording: ``wrk -c 8`` sends the
same POST through the gateway to the bundled server under the engine, and the processor time of a request is
told apart: the gateway's process, the server's, wrk's.

    python benchmarks/gateway.py [--requests N] [--rounds R] [--recorded]

The run fails if an answer is wrong, never because one was slow.
"""

import argparse
import asyncio
import gc
import json
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import anyio
import httpx

from loadgen.client.gateway.listener import Gateway
from loadgen.client.scenario import User, scenario
from loadgen.client.session import fire
from loadgen.core.events import ignore
from loadgen.core.spec import CommandTraffic, RunSpec
from loadgen.core.stop import Stop
from loadgen.dispatch import MODES
from loadgen.modes.local import LocalHost
from loadgen.record import record
from loadgen.store.journal import Journal

CLIENTS = 8
TARGET = "/api/users?x=1"
CONTENT = {"name": "user-1", "email": "user-1@example.com"}
ANSWER = b'{"id": 1, "name": "user-1", "email": "user-1@example.com", "created_at": 1.5}\n'
HEADERS = (
    b"Server: bench\r\nContent-Type: application/json\r\nX-Loadgen-Served: record\r\nContent-Length: %d\r\n"
)


class Server(asyncio.Protocol):
    """Answers each complete request with the one constant reply."""

    keeps = True

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        assert self._transport is not None
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            if len(self._pending) < end + 4 + length:
                return
            self._pending = self._pending[end + 4 + length :]
            close = b"" if self.keeps else b"Connection: close\r\n"
            self._transport.write(b"HTTP/1.1 200 OK\r\n" + HEADERS % len(ANSWER) + close + b"\r\n" + ANSWER)
            if not self.keeps:
                self._transport.close()


async def serve(*, keeps: bool) -> None:
    """Serve until standard input ends, which it also does when the parent is killed."""
    Server.keeps = keeps
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


async def visit(url: str, requests: int) -> None:
    """Be the gateway's clients: they send what an httpx client sends, as cheaply as they can."""
    host = url.removeprefix("http://")
    body = httpx.Request("POST", url, json=CONTENT).read()
    head = (
        f"POST {TARGET} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        f"Connection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\n\r\n"
    )
    asked = head.encode() + body
    name, _, port = host.partition(":")
    remaining = iter(range(requests))

    async def client() -> None:
        reader = writer = None
        for _ in remaining:
            if writer is None:
                reader, writer = await asyncio.open_connection(name, int(port))
            assert reader is not None
            writer.write(asked)
            answer = await reader.readuntil(b"\r\n\r\n")
            content = await reader.readexactly(len(ANSWER))
            if not answer.startswith(b"HTTP/1.1 200 OK\r\n") or content != ANSWER:
                raise RuntimeError(f"wrong answer: {answer!r} {content!r}")
            if b"Connection: close" in answer:
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())


@contextmanager
def journal() -> Iterator[Journal]:
    """Open a journal in a folder of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder, "transcript"), Path(folder, "bodies")) as opened,
    ):
        yield opened


async def own_client(url: str, requests: int) -> float:
    """Return the processor time of a request of a virtual user, in microseconds."""

    async def run(user: User) -> None:
        for _ in range(requests // CLIENTS):
            answer = await user.http.post(TARGET, json=CONTENT)
            if answer.status_code != httpx.codes.OK or answer.content != ANSWER:
                raise RuntimeError(f"wrong answer: {answer.status_code} {answer.content!r}")

    with journal() as notes:
        cpu = time.process_time()
        outcome = await fire(
            url,
            scenario(run),
            notes,
            concurrency=CLIENTS,
            iterations=1,
            seed=1,
            timeout=30,
            stop=Stop(),
            say=print,
        )
        cpu = time.process_time() - cpu
        if outcome.failed:
            raise RuntimeError(f"{outcome.errors}")
        return cpu / notes.requests * 1e6


async def gateway(url: str, requests: int) -> float:
    """Return the processor time of a request through the gateway, in microseconds."""
    with journal() as notes:
        one = Gateway(url, notes, timeout=30)
        async with one.listening("127.0.0.1", 0) as here:
            command = [sys.executable, __file__, "--visit", here, "--requests", str(requests)]
            async with await anyio.open_process(command, stdout=None, stderr=None) as client:
                while not notes.requests:  # noqa: ASYNC110 - its start is not the gateway's cost
                    await anyio.sleep(0.001)
                cpu, first = time.process_time(), notes.requests
                if await client.wait():
                    raise RuntimeError("the clients failed")
            cpu = time.process_time() - cpu
        return cpu / (notes.requests - first) * 1e6


class Passing:
    """Passes bytes on, as cheaply as Python can."""

    def __init__(self, host: str, port: int) -> None:
        self.began = 0.0
        self._server = host, port
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._ready = select.epoll()
        self._ready.register(self._listener, select.EPOLLIN)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def until(self, ended: Callable[[], object]) -> None:
        """Pass on what comes until *ended*."""
        while ended() is None:
            for descriptor, _ in self._ready.poll(0.2):
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor in self._peers:
                    self._pass(*self._peers[descriptor])

    def _accept(self) -> None:
        self.began = self.began or time.process_time()
        one, other = self._listener.accept()[0], socket.create_connection(self._server)
        for side, peer in ((one, other), (other, one)):
            self._peers[side.fileno()] = side, peer
            self._ready.register(side, select.EPOLLIN)

    def _pass(self, side: socket.socket, peer: socket.socket) -> None:
        try:
            content = side.recv(65536, socket.MSG_DONTWAIT)
            if content:
                peer.send(content)
                return
        except BlockingIOError:  # of an earlier connection with this descriptor
            return
        except ConnectionError:
            pass
        for end in (side, peer):
            del self._peers[end.fileno()]
            end.close()


async def bytes_passed_on(url: str, requests: int) -> float:
    """Return the processor time of a request whose bytes are only passed on, in microseconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    passing = Passing(host, int(port))
    command = [sys.executable, __file__, "--visit", passing.url, "--requests", str(requests)]
    client = await asyncio.to_thread(subprocess.Popen, command)
    try:
        passing.until(client.poll)
    finally:
        client.kill()
    if client.returncode:
        raise RuntimeError("the clients failed")
    return (time.process_time() - passing.began) / requests * 1e6


async def compare(url: str, requests: int, rounds: int) -> dict[str, list[float]]:
    """Let both take turns, round after round; the first one warms up."""
    measured = {"own client": own_client, "gateway": gateway, "bytes passed on": bytes_passed_on}
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + 1):
        for name, measure in measured.items():
            gc.collect()
            cost = await measure(url, requests if number else 50 * CLIENTS)
            if number:
                taken[name].append(cost)
    return taken


def recorded(rounds: int) -> None:
    """Print what a recorded request costs the gateway, the server and wrk."""
    kind = 'wrk.headers["Content-Type"] = "application/json"'
    script = f'wrk.method = "POST"; wrk.body = [[{json.dumps(CONTENT)}]]; {kind}'
    print(f"{'CPU in us a request':<22}{'gateway':>10}{'server':>10}{'wrk':>10}{'requests/s':>14}")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "post.lua").write_text(script, encoding="utf-8")
            command = f"wrk -t1 -c{CLIENTS} -d5 -s {folder}/post.lua {{url}}{TARGET} >/dev/null; times"
            spec = RunSpec(traffic=CommandTraffic(client=command))
            own, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
            mode = MODES[spec.mode](LocalHost())
            result = anyio.run(record, spec, mode, Path(folder, "run"), Stop(), ignore)
            own = time.process_time() - own
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            theirs = ended.ru_utime + ended.ru_stime - children.ru_utime - children.ru_stime
            times = re.findall(r"(\d+)m([\d.]+)s", Path(folder, "run", "client.log").read_text("utf-8"))
            wrk = sum(int(minutes) * 60 + float(seconds) for minutes, seconds in times)
            totals = result.totals
            costs = (own, theirs - wrk, wrk)
            told = "".join(f"{cost / totals.requests * 1e6:>10.0f}" for cost in costs)
            print(f"{'':<22}{told}{totals.requests / totals.seconds:>14.0f}", flush=True)


def report(what: str, taken: dict[str, list[float]]) -> None:
    """Print the medians, and the ratios to the own client with their spreads."""
    own = taken["own client"]
    print(f"{what:<20}{statistics.median(own):>12.0f}", end="")
    for name in ("gateway", "bytes passed on"):
        ratios = sorted(there / here for here, there in zip(own, taken[name], strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{statistics.median(taken[name]):>17.0f}{spread:>22}", end="")
    print(flush=True)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="What one request costs the gateway.")
    parser.add_argument("--requests", type=int, default=2000, help="per turn (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each takes (default: 5)")
    parser.add_argument("--recorded", action="store_true", help="measure a recording instead")
    parser.add_argument("--serve", choices=["keeps", "closes"], help=argparse.SUPPRESS)
    parser.add_argument("--visit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(keeps=options.serve == "keeps"))
        return
    if options.visit:
        asyncio.run(visit(options.visit, options.requests))
        return
    if options.requests < CLIENTS or options.rounds < 1:
        parser.error(f"--requests must be at least {CLIENTS}, --rounds at least 1")
    if options.recorded:
        recorded(options.rounds)
        return

    print(
        f"{CLIENTS} at once, {options.requests} requests a turn, {options.rounds} rounds; us of CPU a request"
    )
    print(
        f"{'connections':<20}{'own client':>12}{'gateway':>17}{'ratio':>22}"
        f"{'bytes passed on':>17}{'ratio':>22}"
    )
    for what in ("keeps", "closes"):
        command = [sys.executable, __file__, "--serve", what]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            report(f"the server {what} them", anyio.run(compare, url, options.requests, options.rounds))


if __name__ == "__main__":
    main()
