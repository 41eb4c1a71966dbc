"""Clients that disconnect, servers that break off or stay silent, recordings that end: all are outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.exchange import Failure, Request, Response
from tests.client.gateway.wires import LIMIT, bench

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"3\r\none\r\n"


@pytest.mark.parametrize(
    "begun",
    [b"G", PLAIN[:-2], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\npart", b"\r\n"],
    ids=["first byte", "head", "body", "nothing"],
)
async def test_a_client_that_leaves_in_the_middle_of_a_request(tmp_path: Path, begun: bytes) -> None:
    """It is counted; the request is not numbered and does not reach the server."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(begun)
        await anyio.sleep(0.02)
        await client.close()
        await anyio.sleep(0.05)
        expected = {} if begun == b"\r\n" else {"in the middle of a request": 1}
        assert dict(here.gateway.departures) == expected
        assert here.events() == []


async def test_a_client_that_leaves_a_stream(tmp_path: Path) -> None:
    """The server's connection is closed, so that it can stop; the request's outcome says what happened."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(STREAM + PIECE)
        await client.exactly(len(STREAM + PIECE))
        await client.close()
        with anyio.fail_after(LIMIT), pytest.raises(anyio.BrokenResourceError):
            await server.send_for_ever(PIECE)
        await here.journalled(1)
        assert dict(here.gateway.departures) == {"in the middle of an answer": 1}
    left = here.events()[1]
    assert isinstance(left, Failure)
    assert (left.kind, left.message) == ("ClientLeft", "the client left in the middle of an answer")
    assert left.came is not None
    assert left.came.body.startswith(b"o")


async def test_a_client_that_breaks_off_while_it_waits(tmp_path: Path) -> None:
    """A connection that is reset before the answer: the same, and others are not disturbed."""
    async with bench(tmp_path) as here:
        client, other = await here.client(), await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await other.send(PLAIN)
        second = await here.server()
        await second.message()
        sock = client.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER
        await client.close()
        await here.journalled(1)
        await second.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await other.message() == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert here.events()[2:] == [
        Failure(1, "ClientLeft", "the client left before its answer"),
        Response(2, 204, (), b"", reason="No Content"),
    ]


async def test_a_client_that_closes_while_it_waits(tmp_path: Path) -> None:
    """An orderly end may be that of its requests only: the answer is awaited, and journalled."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await client.close()
        await anyio.sleep(0.05)
        await server.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await here.journalled(1)
    assert here.events()[1] == Response(1, 204, (), b"", reason="No Content")


TRUNCATED = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    "chunks": STREAM + PIECE,
    "a head": b"HTTP/1.1 200 OK\r\nContent-",
    "nonsense": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a bad chunk": STREAM + b"zz\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("name", TRUNCATED)
async def test_an_answer_that_breaks_off(tmp_path: Path, name: str) -> None:
    """The received part reaches the client, followed by the end; or 502 if there is none."""
    sent = TRUNCATED[name]
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(sent)
        await anyio.sleep(0.05)
        await server.close()
        got = await client.rest()
        if name in {"a length", "chunks"}:
            assert got == sent
        else:
            assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    failure = here.events()[1]
    assert isinstance(failure, Failure)
    assert failure.kind == "RemoteProtocolError"


async def test_an_answer_to_the_end_that_is_broken_off(tmp_path: Path) -> None:
    """If an answer ends with the connection, a reset reaches the client as a reset."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(b"HTTP/1.0 200 OK\r\n\r\npart")
        assert (await client.message()).endswith(b"\r\n\r\n")
        sock = server.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        await server.close()
        with pytest.raises(anyio.BrokenResourceError):
            await client.rest()
    failure = here.events()[1]
    assert isinstance(failure, Failure)
    assert failure.kind == "ReadError"


async def test_more_than_the_answer(tmp_path: Path) -> None:
    """Bytes after an answer are not treated as the next answer."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n")
        assert await client.rest() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.slow
async def test_a_silent_server(tmp_path: Path) -> None:
    """If a server is silent for too long, the client gets 504, or an end if a part had arrived."""
    async with bench(tmp_path, timeout=0.3) as here:
        clients = [await here.client() for _ in range(2)]
        servers = []
        for client in clients:
            await client.send(PLAIN)
            servers.append(await here.server())
            await servers[-1].message()
        await servers[1].send(STREAM + PIECE)
        assert (await clients[0].rest()).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        with pytest.raises(anyio.BrokenResourceError):
            await clients[1].rest()
        await here.journalled(2)
    first, second = (one for one in here.events() if isinstance(one, Failure))
    assert {first.kind, second.kind} == {"ReadTimeout"}
    assert {first.message, second.message} == {
        "the server sent nothing for 0.3 s; the client got 504",
        "the server sent nothing for 0.3 s; the answer was cut short",
    }


async def test_no_server(tmp_path: Path) -> None:
    """A request that cannot be sent is numbered too, and its outcome says that there is no server."""
    async with bench(tmp_path) as here:
        here.gateway.server = ("127.0.0.1", 1)
        client = await here.client()
        await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert answer.endswith(b"\r\n\r\n")
    request, failure = here.events()
    assert isinstance(request, Request)
    assert isinstance(failure, Failure)
    assert failure.kind == "ConnectError"


async def test_finish(tmp_path: Path) -> None:
    """The end waits for open requests, accepts no new ones, and closes idle connections."""
    async with bench(tmp_path) as here, anyio.create_task_group() as group:
        idle, client, half = [await here.client() for _ in range(3)]
        await client.send(PLAIN)
        await half.send(PLAIN[:5])
        server = await here.server()
        await server.message()
        await anyio.sleep(0.02)
        group.start_soon(here.gateway.finish)
        assert await idle.rest() == b""
        assert await half.rest() == b""
        await client.send(PLAIN)
        await server.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await client.rest() == b"HTTP/1.1 204 No Content\r\n\r\n"
        assert dict(here.gateway.departures) == {"in the middle of a request": 1}
    assert len(here.events()) == 2


@pytest.mark.slow
async def test_finish_ends_an_endless_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that goes on is ended with the recording, and its outcome says so."""
    monkeypatch.setattr("loadgen.client.gateway.listener.GRACE", 0.2)
    async with bench(tmp_path) as here, anyio.create_task_group() as group:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(STREAM + PIECE)
        await client.exactly(len(STREAM + PIECE))

        async def go_on() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await server.send_for_ever(PIECE)

        group.start_soon(go_on)
        with anyio.fail_after(LIMIT):
            await here.gateway.finish()
    failure = here.events()[1]
    assert isinstance(failure, Failure)
    assert failure.kind == "Stopped"


async def test_an_end_without_finishing_leaves_no_request_open(tmp_path: Path) -> None:
    """However a session ends, each request in the journal has an outcome."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
    assert [type(one) for one in here.events()] == [Request, Failure]


async def test_a_journal_that_cannot_be_written_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that cannot be journaled is not sent, and the error is raised where the session waits."""
    async with bench(tmp_path) as here:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(here.journal, "issue", full)
        client = await here.client()
        await client.send(PLAIN)
        assert await client.rest() == b""
        with pytest.raises(OSError, match="No space"):
            here.gateway.check()
        with pytest.raises(OSError, match="No space"):
            await here.gateway.finish()
