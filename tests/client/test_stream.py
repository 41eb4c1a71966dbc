"""Slow answers: one limit for a whole request, one stop that stops, and pieces as they arrive."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client import session
from loadgen.client.scenario import Scenario, User
from loadgen.client.session import fire
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.stop import Stop
from loadgen.core.transcript import Run
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from loadgen.core.events import SessionEnd

pytestmark = pytest.mark.anyio
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


class Server:
    """A server that sends an answer in pieces, each when the test lets it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.go = anyio.Event()
        self.left = anyio.Event()


@asynccontextmanager
async def served(
    answer: Callable[[Server, anyio.abc.SocketStream], Awaitable[None]],
) -> AsyncIterator[Server]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = Server(f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
                await answer(server, stream)
                await stream.receive()
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                server.left.set()

    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, serve)
        try:
            yield server
        finally:
            serving.cancel_scope.cancel()


async def play(
    path: Path,
    url: str,
    run: Callable[[User], Awaitable[None]],
    *,
    timeout: float = 60,  # noqa: ASYNC109 - of each request
    stop: Stop | None = None,
) -> tuple[SessionEnd, list[Request | Response | Failure]]:
    with anyio.fail_after(60), Journal(path / "t.jsonl", path / "bodies") as journal:
        journal.write(Run("r", "s", 1, 1, 1, "2026-01-01T00:00:00+00:00"))
        outcome = await fire(
            url, Scenario("s", "", run), journal, concurrency=1, iterations=1, seed=1, timeout=timeout,
            stop=stop or Stop(), say=lambda _: None,
        )  # fmt: skip
    with read_transcript(path / "t.jsonl", path / "bodies") as events:
        return outcome, [one for one in events if isinstance(one, Request | Response | Failure)]


async def forever(server: Server, stream: anyio.abc.SocketStream) -> None:
    await stream.send(HEAD)
    while True:
        await stream.send(chunk(b"tick"))
        await anyio.sleep(0.02)


@pytest.mark.slow
async def test_the_limit_is_that_of_the_whole_request(tmp_path: Path) -> None:
    """Bytes that keep coming do not put it off: an answer that trickles, or never ends, is given up."""

    async def run(user: User) -> None:
        with pytest.raises(httpx.ReadTimeout, match=r"no complete answer in 0\.3 s"):
            await user.http.get("/")

    async with served(forever) as server:
        outcome, events = await play(tmp_path, server.url, run, timeout=0.3)
        await server.left.wait()
    assert outcome.errors == {}
    assert isinstance(events[1], Failure)
    assert events[1].kind == "ReadTimeout"


@pytest.mark.slow
async def test_the_limit_is_that_of_a_stream_too(tmp_path: Path) -> None:
    """The pieces until then are handed out, and their sizes are journalled with the failure."""
    seen: list[bytes] = []

    async def run(user: User) -> None:
        with pytest.raises(httpx.ReadTimeout):
            async with user.http.stream("GET", "/", timeout=0.3) as answer:
                seen.extend([piece async for piece in answer.aiter_bytes()])

    async with served(forever) as server:
        _, events = await play(tmp_path, server.url, run)
        await server.left.wait()
    assert isinstance(events[1], Failure)
    assert events[1].kind == "ReadTimeout"
    assert sum(events[1].pieces) >= 4


@pytest.mark.slow
async def test_one_stop_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not ended when the grace is over is given up, though bytes keep coming."""
    monkeypatch.setattr(session, "GRACE", 0.1)
    stop = Stop()

    async def begun(user: User) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(user.http.get, "/")
            await anyio.sleep(0.1)
            stop.requested = True

    async with served(forever) as server:
        _, events = await play(tmp_path, server.url, begun, stop=stop)
    assert isinstance(events[1], Failure)
    assert events[1].kind == "Stopped"


@pytest.mark.slow
async def test_one_stop_stops_a_scenario_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario need not wait for a request to keep a run from ending."""
    monkeypatch.setattr(session, "GRACE", 0.05)
    monkeypatch.setattr(session, "GAVE_UP", 0.05)
    stop = Stop()

    async def run(user: User) -> None:
        stop.requested = True
        await anyio.sleep_forever()

    _, events = await play(tmp_path, "http://127.0.0.1:9", run, stop=stop)
    assert events == []


@pytest.mark.slow
async def test_a_request_under_way_is_finished(tmp_path: Path) -> None:
    """A stop lets what ends in time end."""
    stop = Stop()

    async def answer(server: Server, stream: anyio.abc.SocketStream) -> None:
        stop.requested = True
        await anyio.sleep(0.2)
        await stream.send(HEAD + chunk(b"whole") + LAST)

    async def run(user: User) -> None:
        await user.http.get("/")

    async with served(answer) as server:
        _, events = await play(tmp_path, server.url, run, stop=stop)
    assert isinstance(events[1], Response)
    assert events[1].body == b"whole"


async def test_pieces_are_handed_out_as_they_come(tmp_path: Path) -> None:
    """A scenario has the first piece before the server sends the second; one answer is journalled."""
    seen: list[bytes] = []

    async def answer(server: Server, stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD + chunk(b"data: 1\n\n"))
        await server.go.wait()
        await stream.send(chunk(b"data: 22\n\n") + LAST)

    async with served(answer) as server:

        async def run(user: User) -> None:
            async with user.http.stream("GET", "/events") as events:
                async for piece in events.aiter_raw():
                    seen.append(piece)
                    server.go.set()
            assert events.status_code == 200

        outcome, events = await play(tmp_path, server.url, run)
    assert outcome.errors == {}
    assert seen == [b"data: 1\n\n", b"data: 22\n\n"]
    (_, whole) = events
    assert isinstance(whole, Response)
    assert (whole.body, whole.pieces) == (b"data: 1\n\ndata: 22\n\n", (9, 10))


async def test_a_client_may_leave(tmp_path: Path) -> None:
    """The connection is closed at once, the server sees it, and what had come is journalled, once."""

    async with served(forever) as server:

        async def run(user: User) -> None:
            async with user.http.stream("GET", "/") as answer:
                async for _ in answer.aiter_raw():
                    break
            await server.left.wait()

        outcome, events = await play(tmp_path, server.url, run)
    assert outcome.errors == {}
    (_, left) = events
    assert isinstance(left, Failure)
    assert left.kind == "ClientLeft"
    assert sum(left.pieces) >= 4


async def test_what_is_not_streamed_has_no_pieces(tmp_path: Path) -> None:
    """For an answer that is read as a whole, the pieces of the network are not recorded."""

    async def answer(server: Server, stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD + chunk(b"a"))
        await anyio.sleep(0.05)
        await stream.send(chunk(b"b") + LAST)

    async def run(user: User) -> None:
        await user.http.get("/")

    async with served(answer) as server:
        _, events = await play(tmp_path, server.url, run)
    assert isinstance(events[1], Response)
    assert (events[1].body, events[1].pieces) == (b"ab", ())
