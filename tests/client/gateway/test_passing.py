"""Bytes pass the gateway unchanged in both directions, and the journal has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.exchange import Failure, Request, Response
from tests.client.gateway.wires import SEEN, bench, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.client.gateway.wires import Wire

pytestmark = pytest.mark.anyio


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def arrive() -> None:
    """Let what was sent be received on its own."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()


def journalled(method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> Request:
    return Request(1, 0, method, target, tuple(headers), body)


CHUNKS = b"3;a=b\r\none\r\n00A\r\ntwo\r\nthree\r\n0\r\nX-Sum: 1\r\n\r\n"
LARGE = bytes(range(256)) * 16_384  # 4 MiB

REQUESTS: dict[str, tuple[bytes, Request]] = {
    "order, case and duplicates of headers": (
        b"GET /a HTTP/1.1\r\nhOsT: shop\r\nX-B: 1\r\nx-a:2\r\nX-B:  3 \r\nX-Empty:\r\n\r\n",
        journalled(
            "GET", "/a", [("hOsT", "shop"), ("X-B", "1"), ("x-a", "2"), ("X-B", "3 "), ("X-Empty", "")]
        ),
    ),
    "a raw target": (
        b"GET /%7euser/../a//b;c?q=%20+&q=\xc3\xa9[]|\\ HTTP/1.1\r\nHost: x\r\n\r\n".replace(b"\\ ", b"' "),
        journalled("GET", "/%7euser/../a//b;c?q=%20+&q=\xc3\xa9[]|'", [("Host", "x")]),
    ),
    "any method": (
        b"PURGE-all /a HTTP/1.1\r\nHost: x\r\n\r\n",
        journalled("PURGE-all", "/a", [("Host", "x")]),
    ),
    "the server itself as target": (
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        journalled("OPTIONS", "*", [("Host", "x")]),
    ),
    "a body": (
        b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\x00\xff\r\n.",
        journalled("PUT", "/a", [("Host", "x"), ("Content-Length", "5")], b"\x00\xff\r\n."),
    ),
    "a body of no bytes": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        journalled("POST", "/a", [("Host", "x"), ("Content-Length", "0")]),
    ),
    "a chunked body with an extension and a trailer": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b" % CHUNKS,
        journalled("POST", "/a", [("Host", "x"), ("Transfer-Encoding", "chunked")], b"onetwo\r\nthree"),
    ),
    "large body": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE,
        journalled("POST", "/a", [("Host", "x"), ("Content-Length", str(len(LARGE)))], LARGE),
    ),
    "bytes above 127 in a header": (
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Name: caf\xe9 \xe2\x82\xac\r\n\r\n",
        journalled("GET", "/", [("Host", "x"), ("X-Name", "caf\xe9 \xe2\x82\xac")]),
    ),
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n", journalled("GET", "/", [])),
    "headers of the connection": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nTE: gzip\r\n\r\n",
        journalled(
            "GET",
            "/",
            [("Host", "x"), ("Connection", "keep-alive, Upgrade"), ("Upgrade", "h2c"), ("TE", "gzip")],
        ),
    ),
    "many cookies": (
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1; b=2\r\nCookie: c=3\r\n\r\n",
        journalled("GET", "/", [("Host", "x"), ("Cookie", "a=1; b=2"), ("Cookie", "c=3")]),
    ),
}


def cut(names: Iterable[str]) -> list[object]:
    """Return each name with the size of the pieces in which its bytes are sent; 0: as a whole."""
    return [
        pytest.param(name, step, marks=pytest.mark.slow if step == 1 else ())
        for name in names
        for step in (0, 1, 3)
        if not (step and name.startswith("large"))
    ]


@pytest.mark.parametrize(("name", "step"), cut(REQUESTS))
async def test_a_request_arrives_as_it_was_sent(tmp_path: Path, name: str, step: int) -> None:
    """The server gets the client's bytes and a number; the journal has method, target, headers and body."""
    raw, expected = REQUESTS[name]
    body = len(raw) - raw.index(b"\r\n\r\n") - 4
    async with bench(tmp_path) as here:
        client = await here.client()
        for at in range(0, len(raw), step or len(raw)):
            await client.send(raw[at : at + (step or len(raw))])
            await arrive()
        server = await here.server()
        assert numbered(await server.message(body)) == raw
        assert here.events() == [expected], "it is journalled before it is sent"
        await server.send(OK)
        assert await client.message(2) == OK
    assert here.events()[1:] == [Response(1, 200, (("Content-Length", "2"),), b"ok", reason="OK")]


ANSWERS: dict[str, tuple[bytes, bytes, bytes, int]] = {
    "order, case and duplicates of headers": (
        PLAIN,
        b"HTTP/1.1 200 FINE\r\nset-COOKIE: a=1\r\nX-B:1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        200,
    ),
    "chunks": (
        PLAIN,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b" % CHUNKS,
        b"onetwo\r\nthree",
        200,
    ),
    "HEAD": (
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"",
        200,
    ),
    "204": (PLAIN, b"HTTP/1.1 204 NO CONTENT\r\nX-A: b\r\n\r\n", b"", 204),
    "304": (PLAIN, b"HTTP/1.1 304 NOT MODIFIED\r\nETag: x\r\nContent-Length: 9\r\n\r\n", b"", 304),
    "no reason": (PLAIN, b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", b"", 299),
    "bytes above 127": (
        PLAIN,
        b"HTTP/1.1 200 OK\r\nX-A: \xe9\r\nContent-Length: 1\r\n\r\n\xff",
        b"\xff",
        200,
    ),
    "a hint first": (
        PLAIN,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        200,
    ),
    "large": (PLAIN, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE, LARGE, 200),
    "HTTP/1.0 that keeps": (
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        200,
    ),
}


@pytest.mark.parametrize(("name", "step"), cut(ANSWERS))
async def test_an_answer_arrives_as_it_was_sent(tmp_path: Path, name: str, step: int) -> None:
    """The client gets the server's bytes, without loadgen's headers, and both connections stay in use."""
    asked, answer, body, status = ANSWERS[name]
    head, _, rest = answer.rpartition(b"\r\n\r\n") if not body else answer.partition(b"\r\n\r\n")
    sent = head + b"\r\n" + SEEN + b"\r\n" + rest
    if name == "a hint first":
        sent = answer.replace(b"200 OK\r\n", b"200 OK\r\n" + SEEN)
    async with bench(tmp_path) as here, anyio.create_task_group() as group:
        client = await here.client()
        for turn in (1, 2):
            await client.send(asked)
            if turn == 1:
                server = await here.server()
            await server.message()

            async def reply(server: Wire = server) -> None:
                for at in range(0, len(sent), step or len(sent)):
                    await server.send(sent[at : at + (step or len(sent))])
                    await arrive()

            group.start_soon(reply)
            assert await client.exactly(len(answer)) == answer
            assert await client.silent(0.02)
    response = here.events()[1]
    assert isinstance(response, Response)
    assert (response.status, response.body) == (status, body)
    assert ("X-Loadgen-Served", "record") in response.headers
    assert here.gateway.connections == 1


async def test_pieces_pass_at_once_and_the_last_after_the_journal(tmp_path: Path) -> None:
    """A client sees a stream as it arrives; when it has all of it, the journal has the completion."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await server.send(head)
        assert await client.exactly(len(head)) == head
        for number in range(5):
            piece = b"3\r\n%03d\r\n" % number
            await server.send(piece)
            assert await client.exactly(len(piece)) == piece
            assert len(here.events()) == 1
        await server.send(b"0\r\n\r\n")
        assert await client.exactly(5) == b"0\r\n\r\n"
        assert here.events()[1:] == [
            Response(1, 200, (("Transfer-Encoding", "chunked"),), b"000001002003004", reason="OK")
        ]


async def test_an_answer_ended_by_the_connection(tmp_path: Path) -> None:
    """Without a length the end of the connection is the end of the answer, and reaches the client as such."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(b"HTTP/1.0 200 OK\r\n\r\npart")
        assert await client.exactly(23) == b"HTTP/1.0 200 OK\r\n\r\npart"
        assert len(here.events()) == 1
        await server.send(b" two")
        await server.close()
        assert await client.rest() == b" two"
    assert here.events()[1] == Response(1, 200, (), b"part two", reason="OK")


async def test_a_server_that_closes_closes_the_client(tmp_path: Path) -> None:
    """The server's ``Connection: close`` reaches the client, and then the end of the connection does."""
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with bench(tmp_path) as here:
        for _ in range(2):
            client = await here.client()
            await client.send(PLAIN)
            server = await here.server()
            await server.message()
            await server.send(answer)
            assert await client.rest() == answer
        assert [one.user for one in here.events() if isinstance(one, Request)] == [0, 0]


async def test_an_idle_connection_that_the_server_closes(tmp_path: Path) -> None:
    """A server's time-out for idle connections reaches the client."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(OK)
        await client.message(2)
        await server.close()
        assert await client.rest() == b""


async def test_expect(tmp_path: Path) -> None:
    """A client that waits for 100 Continue gets it once, sends its body, and the server gets both at once."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(head)
        assert await client.message() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert not here.events()
        await client.send(b"body")
        server = await here.server()
        assert numbered(await server.message(4)) == head + b"body"
        await server.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        assert await client.message(2) == OK


async def test_pipelined_requests(tmp_path: Path) -> None:
    """Requests that come ahead are sent one after the other; all answers arrive, in order."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(b"\r\n" + b"".join(PLAIN.replace(b"/ ", b"/%d " % n) for n in range(20)))
        server = await here.server()
        for number in range(20):
            assert (await server.message()).startswith(b"GET /%d " % number)
            assert await server.silent(0.01), "the next is sent when the answer has ended"
            await server.send(OK)
            assert await client.message(2) == OK


async def test_many_large_requests_ahead(tmp_path: Path) -> None:
    """A client that sends far ahead is held up, and none of its bytes is lost."""
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    async with bench(tmp_path) as here, anyio.create_task_group() as group:
        client = await here.client()
        group.start_soon(client.send, one * 40)
        server = await here.server()
        for _ in range(40):
            await server.message(100_000)
            await server.send(OK)
            await client.message(2)


async def test_half_closed(tmp_path: Path) -> None:
    """A client that has sent all that it will send still gets its answer; then its connection is closed."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        await client.stream.send_eof()
        server = await here.server()
        await server.message()
        await anyio.sleep(0.05)
        await server.send(OK)
        assert await client.rest() == OK
    assert isinstance(here.events()[1], Response)


@pytest.mark.slow
async def test_a_slow_client_holds_the_server_up(tmp_path: Path) -> None:
    """A client that does not read lets the server wait: the gateway does not swallow a stream."""
    async with bench(tmp_path, timeout=0.3) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.send(b"HTTP/1.1 200 OK\r\n\r\n")
        sent = 0
        with anyio.move_on_after(1):
            while sent < 1 << 30:
                await server.send(bytes(1 << 16))
                sent += 1 << 16
        assert sent < 1 << 26
        assert len(here.events()) == 1, "and that is not the server's silence"
        await client.close()
        await here.journalled(1)


async def test_bare_line_feeds(tmp_path: Path) -> None:
    """Lines that end without a carriage return are accepted, as by many servers."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(b"GET /a HTTP/1.1\nHost: x\n\n")
        server = await here.server()
        assert numbered(await server.until(b"\n\n")) == b"GET /a HTTP/1.1\nHost: x\n\n"
        assert here.events() == [journalled("GET", "/a", [("Host", "x")])]


async def test_lanes(tmp_path: Path) -> None:
    """A user is a lane of open connections: the lowest number that no open one has."""
    async with bench(tmp_path) as here:

        async def ask(client: Wire) -> None:
            await client.send(PLAIN)
            if id(client) not in servers:
                servers[id(client)] = await here.server()
            await servers[id(client)].message()
            await servers[id(client)].send(OK)
            await client.message(2)

        servers: dict[int, Wire] = {}
        a, b, idle = await here.client(), await here.client(), await here.client()
        await ask(a)
        await ask(b)
        await ask(a)
        await a.close()
        await anyio.sleep(0.05)
        c = await here.client()
        await ask(c)
        await ask(idle)
        assert [one.user for one in here.events() if isinstance(one, Request)] == [0, 1, 0, 0, 2]
        assert here.gateway.connections == 4
        assert here.gateway.most_open == 1


async def test_most_open(tmp_path: Path) -> None:
    """The concurrency of a session is the most requests that were open at once."""
    async with bench(tmp_path) as here:
        clients = [await here.client() for _ in range(5)]
        for client in clients:
            await client.send(PLAIN)
        servers = [await here.server() for _ in range(5)]
        for server in servers:
            await server.message()
            await server.send(OK)
        for client in clients:
            await client.message(2)
        assert here.gateway.most_open == 5
        assert sorted(one.user for one in here.events() if isinstance(one, Request)) == [0, 1, 2, 3, 4]


async def test_failures_are_no_responses(tmp_path: Path) -> None:
    """A request without an answer is journalled as a failure, in its place."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(PLAIN)
        server = await here.server()
        await server.message()
        await server.close()
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"X-Loadgen-Outcome: unanswered\r\n" in answer
    failure = here.events()[1]
    assert isinstance(failure, Failure)
    assert failure.kind == "RemoteProtocolError"
    assert failure.message == "the server closed the connection without an answer; the client got 502"
