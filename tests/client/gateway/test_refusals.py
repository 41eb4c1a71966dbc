"""Requests that cannot be recorded are answered with a status, counted, and never numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.gateway.users import UserBy
from loadgen.core.exchange import Request
from loadgen.errors import UsageError
from tests.client.gateway.wires import bench

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOST = b"Host: x\r\n"

REFUSED: dict[str, tuple[bytes, str]] = {
    "no HTTP": (b"\x00\x01\x02\x03", "400 not HTTP"),
    "another protocol": (b"EHLO example.org\r\n", "400 not HTTP"),
    "HTTP/0.9": (b"GET /\r\n", "400 not HTTP"),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", "400 not HTTP"),
    "TLS": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),
        "400 a TLS handshake: only plain HTTP is spoken here",
    ),
    "TLS with line feeds": (
        b"\x16\x03\x01\x02\x00\n\n\n\r\n\r\n" + bytes(20),
        "400 a TLS handshake: only plain HTTP is spoken here",
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP/2: only HTTP/1 is spoken here"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", "505 a version other than HTTP/1.0 and HTTP/1.1"),
    "HTTP/3": (b"GET / HTTP/3.0\r\n", "505 a version other than HTTP/1.0 and HTTP/1.1"),
    "two lengths": (
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "400 two lengths",
    ),
    "a length twice": (
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nab",
        "400 two lengths",
    ),
    "a list of lengths": (
        b"POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nab",
        "400 a length that is not a number",
    ),
    "a length with a sign": (
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nab",
        "400 a length that is not a number",
    ),
    "length with chunked": (
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 both Content-Length and Transfer-Encoding",
    ),
    "chunked twice": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 two transfer encodings",
    ),
    "gzip as transfer encoding": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "501 a transfer encoding other than chunked",
    ),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 a chunked body in HTTP/1.0",
    ),
    "a chunk without a size": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "400 a chunk without a size",
    ),
    "a chunk longer than its size": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "400 a chunk longer than its size",
    ),
    "a folded header": (
        b"GET / HTTP/1.1\r\nX-A: b\r\n c\r\n\r\n",
        "400 a header line that cannot be read",
    ),
    "a space before the colon": (
        b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
        "400 a header line that cannot be read",
    ),
    "a header without a colon": (
        b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
        "400 a header line that cannot be read",
    ),
    "a carriage return in a header": (
        b"GET / HTTP/1.1\r\nX-A: b\rX-Loadgen-Seq: 1\r\n\r\n",
        "400 a header line that cannot be read",
    ),
    "our number": (b"GET / HTTP/1.1\r\nx-loadgen-SEQ: 1\r\n\r\n", "400 a header of loadgen's own"),
    "our number as WSGI spells it": (
        b"GET / HTTP/1.1\r\nX_Loadgen_Seq: 1\r\n\r\n",
        "400 a header of loadgen's own",
    ),
    "our path": (b"GET /__loadgen__/order HTTP/1.1\r\n\r\n", "404 a path of loadgen's own"),
    "our path, encoded": (b"GET /%5F_loadgen__/order HTTP/1.1\r\n\r\n", "404 a path of loadgen's own"),
    "our path, as an authority": (b"GET //__loadgen__/order HTTP/1.1\r\n\r\n", "404 a path of loadgen's own"),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", "405 CONNECT: the gateway opens no tunnels"),
    "another host": (
        b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "421 a URL of another host: name it with --proxy-for if it is this server's",
    ),
    "another scheme": (
        b"GET https://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        "400 a target that is neither a path nor an http:// URL",
    ),
    "another star": (b"GET * HTTP/1.1\r\n\r\n", "400 a target that is neither a path nor an http:// URL"),
    "an endless head": (b"GET / HTTP/1.1\r\nX-A: " + b"a" * (2 << 20), "431 a head that is too large"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(tmp_path: Path, name: str) -> None:
    """The client gets status and reason; server and journal get nothing."""
    raw, reason = REFUSED[name]
    async with bench(tmp_path, hosts=["shop.test"]) as here:
        client = await here.client()
        await client.send(raw)
        answer = await client.until(b"\r\n\r\n")
        body = await client.rest()
        assert answer.startswith(b"HTTP/1.1 %s " % reason.split()[0].encode())
        assert b"\r\nX-Loadgen-Outcome: refused\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert body == f"loadgen: {reason.partition(' ')[2]}\n".encode()
        assert dict(here.gateway.refusals) == {reason: 1}
        assert (here.gateway.connections, here.events()) == (0, [])
        assert not here.gateway.departures
        # ... and the next client is served.
        client = await here.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server = await here.server()
        assert b"X-Loadgen-Seq: 1\r\n" in await server.message()
        await server.send(OK)
        assert await client.message(2) == OK


async def test_a_refused_client_that_sends_on_reads_its_answer(tmp_path: Path) -> None:
    """The refusal of a large request arrives, although the client is still sending when it is refused."""
    async with bench(tmp_path) as here:
        client = await here.client()
        await client.send(
            b"POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n" + bytes(1 << 22)
        )
        assert (await client.rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("host", ["shop.test", "SHOP.test:80", "user@shop.test:8080", None])
async def test_a_proxy_for_named_hosts(tmp_path: Path, host: str | None) -> None:
    """A client that takes the gateway for its proxy reaches the server, under the host that it named."""
    async with bench(tmp_path, hosts=["Shop.test"]) as here:
        host = host or f"localhost:{here.port}"
        client = await here.client()
        await client.send(
            f"GET HTTP://{host}?q=1 HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\n"
            "Proxy-Authorization: x\r\nX-A: b\r\n\r\n".encode()
        )
        server = await here.server()
        assert await server.message() == (
            f"GET /?q=1 HTTP/1.1\r\nX-Loadgen-Seq: 1\r\nHost: {host}\r\nX-A: b\r\n\r\n".encode()
        )
        await server.send(OK)
        assert await client.message(2) == OK
    assert here.events()[0] == Request(1, 0, "GET", "/?q=1", (("Host", host), ("X-A", "b")))


async def test_users_by_header_and_cookie(tmp_path: Path) -> None:
    """Requests with the same identity are of one user; those without one are of their connection's."""
    sent = [b"Cookie: a=1; sid=x", b"", b"cookie: sid=y", b"Cookie: sid=x; b=2", b"", b"Cookie: SID=x"]
    async with bench(tmp_path, by=UserBy.parse("cookie:sid")) as here:
        client = await here.client()
        for line in sent:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + (line and line + b"\r\n") + b"\r\n")
            if not here.events():
                server = await here.server()
            await server.message()
            await server.send(OK)
            await client.message(2)
    assert [one.user for one in here.events() if isinstance(one, Request)] == [0, 1, 2, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "headers", "identity"),
    [
        ("header:Authorization", (("authorization", "Bearer a:b "),), "Bearer a:b"),
        ("header:X-User", (("Host", "x"),), None),
        ("cookie:a", (("Cookie", "b=1;a=2=3 "),), "2=3"),
        ("cookie:a", (("Cookie", "b=1"), ("Cookie", "a=")), ""),
    ],
)
def test_identity(text: str, headers: tuple[tuple[str, str], ...], identity: str | None) -> None:
    """A header's name is in any case, a cookie's is not; there may be several Cookie headers."""
    assert UserBy.parse(text).of(headers) == identity


@pytest.mark.parametrize("text", ["", "cookie", "cookie:", "path:x", "header:caf\xe9"])
def test_no_identity(text: str) -> None:
    """Anything else is refused, with a correct example."""
    with pytest.raises(UsageError) as raised:
        UserBy.parse(text)
    assert "header:NAME" in raised.value.advice
