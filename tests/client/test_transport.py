"""The transport: a request is sent unchanged, once, and its answer or failure is reported unchanged."""

from __future__ import annotations

import gzip
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.abc import SocketAttribute

from loadgen.client.connection import NoAnswer
from loadgen.client.transport import WireTransport
from loadgen.client.wire import Wire
from loadgen.protocol import OVER_HEADER
from tests.client.raw_server import CONTINUE, OK, RawServer, Received, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.anyio

Header = tuple[bytes, bytes]


@pytest.fixture
async def wire() -> AsyncIterator[WireTransport]:
    transport = WireTransport()
    yield transport
    await transport.aclose()


def always(reply: bytes | None) -> Callable[[Received], Awaitable[bytes | None]]:
    async def answer(received: Received) -> bytes | None:
        return reply

    return answer


async def send(
    wire: WireTransport,
    server: RawServer | str,
    method: str = "GET",
    target: bytes = b"/",
    headers: list[Header] | None = None,
    body: bytes = b"",
    timeout: float | None = None,  # noqa: ASYNC109 - the transport's own limit
) -> httpx.Response:
    """Send one request as the replay does, and return the answer with its body as on the wire."""
    request = httpx.Request(
        method,
        server if isinstance(server, str) else server.url,
        headers=headers or [(b"Host", b"x")],
        stream=httpx.ByteStream(body),
        extensions={"target": target, "timeout": {"connect": timeout, "read": timeout}},
    )
    with anyio.fail_after(5):
        answer = await wire.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        try:
            content = b"".join([chunk async for chunk in answer.stream])
        finally:
            await answer.aclose()
    return httpx.Response(
        answer.status_code,
        headers=answer.headers.raw,
        stream=httpx.ByteStream(content),
        extensions=answer.extensions,
    )


def wire_body(answer: httpx.Response) -> bytes:
    assert isinstance(answer.stream, httpx.ByteStream)
    return b"".join(answer.stream)


# ---- what is sent ----------------------------------------------------------------------------------------


async def test_headers_are_sent_as_given(wire: WireTransport) -> None:
    """Names keep their case, headers their order, duplicates their places; nothing is added."""
    headers = [
        (b"x-lower", b"1"),
        (b"Host", b"elsewhere"),
        (b"X-MIXED-case", b"  inner  space"),
        (b"x-lower", b"2"),
        (b"X-Empty", b""),
        (b"Cookie", b"a=1; b=2"),
        (b"X-UTF8", "é".encode()),
        (b"X-Latin", b"\xe9"),
        (b"X-Lower", b"3"),
    ]
    async with raw_server(always(OK)) as server:
        await send(wire, server, headers=headers)
        lines = server.requests[0].head.split(b"\r\n")
        assert [line.split(b":")[0] for line in lines[1:-2]] == [name for name, _ in headers]
        assert [line.split(b":", 1)[1].strip() for line in lines[1:-2]] == [
            value.strip() for _, value in headers
        ]
        assert lines[0] == b"GET / HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
@pytest.mark.parametrize("body", [b"", b"\x00\xff\r\n\r\n" * 9])
async def test_no_header_is_added(wire: WireTransport, method: str, body: bytes) -> None:
    """Whatever the method, with and without a body, the headers are those of the request and no other."""
    headers = [(b"Host", b"x")] + ([(b"Content-Length", b"%d" % len(body))] if body else [])
    async with raw_server(always(OK)) as server:
        await send(wire, server, method, headers=headers, body=body)
        expected = b"".join(b"%s: %s\r\n" % header for header in headers)
        assert server.requests == [Received(b"%s / HTTP/1.1\r\n%s\r\n" % (method.encode(), expected), body)]


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/?",
        b"/a?b=c&b=%63&d",
        b"/%7Euser/%2F/%zz",
        b"/a/../b/./c",
        b"//double//slash",
        b"/a;p=1?q=/x?y",
        b"/plus+and%20space",
        "/naïve".encode(),
        b"/\xff",
        b"/" + b"x" * 9000,
    ],
)
async def test_targets_are_sent_byte_for_byte(wire: WireTransport, target: bytes) -> None:
    """A target is neither quoted, unquoted nor normalised."""
    async with raw_server(always(OK)) as server:
        await send(wire, server, target=target)
        assert server.requests[0].first_line == b"GET %s HTTP/1.1" % target


async def test_without_a_target_the_url_is_it(wire: WireTransport) -> None:
    """Plain httpx requests work as with httpx's own transport."""
    async with raw_server(always(OK)) as server, httpx.AsyncClient(transport=wire, trust_env=False) as http:
        answer = await http.get(f"{server.url}/a b", params={"q": "é"})
        assert (answer.status_code, answer.text) == (200, "ok")
        assert server.requests[0].target == b"/a%20b?q=%C3%A9"


async def test_a_chunked_request_is_sent_chunked(wire: WireTransport) -> None:
    """A body without a length is framed as its headers say."""
    async with raw_server(always(OK)) as server:
        await send(wire, server, "POST", headers=[(b"Transfer-Encoding", b"chunked")], body=b"hello")
        (received,) = server.requests
        assert received.head == b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert received.body == b"5\r\nhello\r\n0\r\n\r\n"


async def test_connections_are_reused(wire: WireTransport) -> None:
    """One sequential client keeps one connection."""
    async with raw_server(always(OK)) as server:
        for _ in range(3):
            await send(wire, server)
        assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified")])
async def test_a_body_where_none_may_be_is_not_taken_for_the_next_answer(
    wire: WireTransport, method: str, status: str
) -> None:
    """Some servers send one nevertheless, after the client has seen the end of the answer."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                first = b"/first" in await stream.receive()
                head = f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"
                await stream.send(head.encode() if first else OK)
                await stream.receive()
                await stream.send(b"stray" + OK)

    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, serve)
        url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        await send(wire, url, method, b"/first")
        assert wire_body(await send(wire, url)) == b"ok"
        serving.cancel_scope.cancel()


async def test_concurrent_requests_do_not_wait_for_each_other(wire: WireTransport) -> None:
    """As many requests are open at once as are sent: there is no limit of connections."""
    many = 150
    all_there = anyio.Event()

    async def answer(received: Received) -> bytes:
        if len(server.requests) == many:
            all_there.set()
        await all_there.wait()
        return OK

    async with raw_server(answer) as server, anyio.create_task_group() as sending:
        for _ in range(many):
            sending.start_soon(send, wire, server)


# ---- exactly once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
async def test_a_lost_connection_is_not_tried_again(
    wire: WireTransport, method: str, *, reused: bool
) -> None:
    """A request that got no answer may have been served: it is never sent a second time."""

    async def answer(received: Received) -> bytes | None:
        return OK if received.target == b"/warm" else None

    async with raw_server(answer) as server:
        if reused:
            await send(wire, server, target=b"/warm")
        with pytest.raises(httpx.RemoteProtocolError):
            await send(wire, server, method, b"/once")
        await send(wire, server, target=b"/warm")
        assert [one.target for one in server.requests].count(b"/once") == 1


# ---- what comes back -------------------------------------------------------------------------------------


async def test_answers_are_told_as_they_came(wire: WireTransport) -> None:
    """Status, reason, header names, order and duplicates, and the body's bytes are those of the wire."""
    body = gzip.compress(b"squeezed")
    head = (
        b"HTTP/1.1 418 Teapot\r\nset-cookie: a=1\r\nX-One: 1\r\nSet-Cookie: b=2\r\nX-Latin: \xe9\r\n"
        b"Content-Encoding: gzip\r\nX-Empty:\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    async with raw_server(always(head + body)) as server:
        answer = await send(wire, server)
    assert (answer.status_code, answer.reason_phrase) == (418, "Teapot")
    assert answer.headers.raw == [
        (b"set-cookie", b"a=1"),
        (b"X-One", b"1"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Latin", b"\xe9"),
        (b"Content-Encoding", b"gzip"),
        (b"X-Empty", b""),
        (b"Content-Length", b"%d" % len(body)),
    ]
    assert wire_body(answer) == body


@pytest.mark.parametrize(
    ("method", "reply", "body"),
    [
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            b"abcde",
        ),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        ("POST", CONTINUE + OK, b"ok"),
    ],
    ids=["chunked", "HEAD", "204", "304", "until close", "HTTP/1.0", "100"],
)
async def test_every_framing_is_understood(
    wire: WireTransport, method: str, reply: bytes, body: bytes
) -> None:
    """However an answer's end is marked, its body is whole, and the next request finds its own answer."""

    async def answer(received: Received) -> bytes:
        return OK if received.target == b"/next" else reply

    async with raw_server(answer) as server:
        assert wire_body(await send(wire, server, method)) == body
        assert wire_body(await send(wire, server, target=b"/next")) == b"ok"


async def test_redirects_are_answers(wire: WireTransport) -> None:
    """A redirect is returned, not followed."""
    reply = b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(always(reply)) as server:
        answer = await send(wire, server)
        assert (answer.status_code, answer.headers["location"]) == (302, "/else")
        assert len(server.requests) == 1


async def test_cookies_are_not_kept(wire: WireTransport) -> None:
    """The transport sends no cookies of its own."""
    reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(always(reply)) as server:
        await send(wire, server)
        await send(wire, server)
        assert b"ookie" not in server.requests[1].head


async def test_long_headers_are_no_error(wire: WireTransport) -> None:
    """A header far longer than usual limits is told as it is."""
    reply = b"HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: 0\r\n\r\n" % (b"x" * 100_000)
    async with raw_server(always(reply)) as server:
        assert len((await send(wire, server)).headers["x-long"]) == 100_000


async def test_an_answer_before_the_request_was_read(wire: WireTransport) -> None:
    """A server that answers at once, and takes no more of a large body, has answered."""

    async def refuse(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive(1)
            await stream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            with anyio.move_on_after(0.2):
                while True:
                    await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, refuse)
            body = bytes(50_000_000)
            headers = [(b"Host", b"x"), (b"Content-Length", b"%d" % len(body))]
            answer = await send(wire, f"http://127.0.0.1:{port}", "POST", headers=headers, body=body)
            assert (answer.status_code, wire_body(answer)) == (413, b"no")
            serving.cancel_scope.cancel()


async def test_an_answer_that_comes_in_single_bytes(wire: WireTransport) -> None:
    """Wherever the network cuts an answer, it is the same."""
    reply = CONTINUE + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def drip(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            for at in range(len(reply)):
                await stream.send(reply[at : at + 1])
                await anyio.lowlevel.checkpoint()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, drip)
            assert wire_body(await send(wire, f"http://127.0.0.1:{port}")) == b"abc"
            serving.cancel_scope.cancel()


async def test_a_connection_that_the_server_closed_is_not_used(wire: WireTransport) -> None:
    """An idle connection that has ended is left, and the next request gets one of its own."""

    async def once(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(OK)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, once)
            for _ in range(3):
                assert wire_body(await send(wire, f"http://127.0.0.1:{port}")) == b"ok"
                await anyio.sleep(0.05)
            serving.cancel_scope.cancel()


# ---- no answer -------------------------------------------------------------------------------------------


async def test_nobody_listens(wire: WireTransport) -> None:
    """A refused connection is a ConnectError: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(httpx.ConnectError, match=str(port)):
        await send(wire, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
    ids=["nothing", "truncated body", "truncated head", "no HTTP", "bad length"],
)
async def test_half_an_answer_is_none(wire: WireTransport, reply: bytes | None) -> None:
    """An answer that is not whole, or not HTTP, is a RemoteProtocolError and never a shorter answer."""
    async with raw_server(always(reply)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await send(wire, server)
        assert len(server.requests) == 1


async def test_a_truncated_chunked_body_is_no_answer(wire: WireTransport) -> None:
    """A chunked body without its last chunk was cut off."""
    async with raw_server(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await send(wire, server)


async def test_what_came_of_an_answer_does_not_depend_on_packets() -> None:
    """Of an answer that is broken behind its first chunk, the head and the chunk came, also in one packet."""
    head, chunk, broken = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2\r\nab\r\n",
        b"what\r\n",
    )
    for packets in ([head, chunk, broken], [head + chunk + broken]):

        async def answer(stream: anyio.abc.SocketStream, packets: list[bytes] = packets) -> None:
            async with stream:
                await stream.receive()
                for packet in packets:
                    await stream.send(packet)
                    await anyio.sleep(0.05)

        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as serving:
                serving.start_soon(listener.serve, answer)
                reply = await Wire("127.0.0.1", port).send("GET", b"GET / HTTP/1.1\r\n\r\n")
                with pytest.raises(NoAnswer):
                    await reply.read()
                assert (reply.status, reply.rest()) == (200, b"ab")
                reply.close()
                serving.cancel_scope.cancel()


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_a_slow_answer_is_given_up(wire: WireTransport, reply: bytes) -> None:
    """Nothing for longer than the read timeout, before or within the answer, is a ReadTimeout."""

    async def stall(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if reply:
                await stream.send(reply)
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, stall)
            with pytest.raises(httpx.ReadTimeout):
                await send(wire, f"http://127.0.0.1:{port}", timeout=0.05)
            serving.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", b"/a b", []),
        ("GET", b"/a\r\nX-B: 1", []),
        ("GET", b"", []),
        ("GE T", b"/", []),
        ("GET", b"/", [(b"X-A", b"1\r\nX-B: 2")]),
        ("GET", b"/", [(b"X-A", b"1\n")]),
        ("GET", b"/", [(b"X-A", b"\0")]),
        ("GET", b"/", [(b"X A", b"1")]),
        ("GET", b"/", [(b"", b"1")]),
    ],
)
async def test_what_would_be_another_request_is_not_sent(
    wire: WireTransport, method: str, target: bytes, headers: list[Header]
) -> None:
    """Bytes that a server would read as another request, or as two, are refused."""
    async with raw_server(always(OK)) as server:
        with pytest.raises(httpx.LocalProtocolError):
            await send(wire, server, method, target=target, headers=headers)
        assert server.requests == []


async def test_closing_closes_the_connections() -> None:
    """A closed transport leaves no connection behind, and can be closed again."""
    gone = anyio.Event()

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(OK)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            gone.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, serve)
            wire = WireTransport()
            await send(wire, f"http://127.0.0.1:{port}")
            await wire.aclose()
            await wire.aclose()
            with anyio.fail_after(5):
                await gone.wait()
            serving.cancel_scope.cancel()


OVER = OK.replace(b"\r\n", f"\r\n{OVER_HEADER}: 1\r\n".encode(), 1)


@pytest.mark.parametrize(
    ("reuse", "answer", "connections"), [(True, OK, 1), (False, OK, 3), (False, OVER, 1)]
)
async def test_a_connection_is_reused_only_if_wanted(reuse: bool, answer: bytes, connections: int) -> None:  # noqa: FBT001
    """Without reuse, no request waits behind what the server still does for an earlier one."""
    opened = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal opened
        opened += 1
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while await stream.receive():
                    await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        transport = WireTransport(reuse=reuse)
        for _ in range(3):
            await send(transport, f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
        assert opened == connections
        await transport.aclose()
        tasks.cancel_scope.cancel()
