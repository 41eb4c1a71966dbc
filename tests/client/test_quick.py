"""The quick client behaves like httpx: the same bytes on the wire, the same answers, the same errors."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from loadgen.client.quick import QuickClient
from loadgen.client.transport import WireTransport
from tests.client.raw_server import Received, raw_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/", {}),
    ("get", "/a/b.c_d~e-f", {}),
    ("GET", "/a?x=1&y=a.b-c_d~", {}),
    ("GET", "/a?", {}),
    ("GET", "/a/../b", {}),
    ("GET", "/a/./b/.hidden", {}),
    ("GET", "//double", {}),
    ("GET", "/a//b", {}),
    ("GET", "/a b/%7e/ü?q=a b&c=%63+d", {}),
    ("GET", "relative", {}),
    ("GET", "", {}),
    ("GET", "/a#fragment", {}),
    ("GET", "/a;b=c,d", {}),
    ("GET", "/a", {"params": {"q": "1"}}),
    ("GET", "/a", {"headers": {"X-One": "1", "accept": "text/plain"}}),
    ("GET", "/a", {"headers": [("X-One", "1"), ("X-One", "2")]}),
    ("GET", "/a", {"timeout": 3}),
    ("GET", "/a", {"auth": ("user", "word")}),
    ("GET", "/a", {"extensions": {"target": b"/other"}}),
    ("GET", "/a", {"headers": {b"X-Latin": b"caf\xe9", "X-UTF8": "é".encode()}}),
    ("GET", "/a", {"headers": [("X-Latin", b"\xe9"), ("X-Latin", b"\xff")]}),
    ("HEAD", "/a", {}),
    ("DELETE", "/a", {}),
    ("POST", "/a", {}),
    ("POST", "/a", {"json": {"name": "Ü", "list": [1, 2.5, None, True]}}),
    ("POST", "/a", {"json": []}),
    ("POST", "/a", {"json": {"x": 1}, "headers": {"Content-Type": "application/vnd.x+json"}}),
    ("POST", "/a", {"json": {"x": 1}, "headers": {"content-length": "7"}}),
    ("PUT", "/a", {"json": "text"}),
    ("POST", "/a", {"data": {"a": "1"}}),
    ("POST", "/a", {"content": b"raw"}),
    (
        "POST",
        "/a",
        {
            "files": {"f": ("n.txt", b"content")},
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
    ),
    ("PATCH", "/a", {"content": ""}),
]
OK = b"HTTP/1.1 200 OK\r\n"
SQUEEZED = gzip.compress(b"squeezed", mtime=0)
ANSWERS = {
    "json": OK + b'Content-Type: application/json\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 7\r\n\r\n{"a":1}',
    "latin-1": OK
    + b"Content-Type: text/plain; charset=latin-1\r\nX-L: \xe9\r\nContent-Length: 1\r\n\r\n\xe9",
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(SQUEEZED), SQUEEZED),
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: /else?x=1\r\nContent-Length: 0\r\n\r\n",
    "cookie": OK + b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    "error": b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
}


async def lived(
    kind: type[httpx.AsyncClient], act: Callable[[httpx.AsyncClient], Awaitable[Any]], reply: bytes
) -> Any:
    """Return what *act* returns and what a server saw, without the port, which is another each time."""

    async def answer(received: Received) -> bytes:
        return reply

    async with raw_server(answer) as server:
        port = server.url.rpartition(":")[2]
        async with kind(transport=WireTransport(), base_url=server.url, trust_env=False) as client:
            told = await act(client)
        seen = [(one.head.replace(port.encode(), b"PORT"), one.body) for one in server.requests]
        return repr(told).replace(port, "PORT"), seen


def shown(answer: httpx.Response) -> list[Any]:
    """Return all that a scenario can see of an answer."""
    following = answer.next_request
    return [
        answer.status_code,
        answer.reason_phrase,
        answer.headers.raw,
        answer.headers.multi_items(),
        answer.content,
        answer.text,
        answer.encoding,
        answer.cookies.items(),
        answer.is_closed,
        answer.is_stream_consumed,
        answer.num_bytes_downloaded,
        answer.history,
        answer.elapsed.total_seconds() > 0,
        str(answer.url),
        following and (following.method, str(following.url), following.headers.raw),
        (
            answer.request.method,
            answer.request.headers.raw,
            answer.request.content,
            answer.request.extensions,
        ),
    ]


async def both(act: Callable[[httpx.AsyncClient], Awaitable[Any]], reply: bytes = ANSWERS["json"]) -> None:
    assert await lived(QuickClient, act, reply) == await lived(httpx.AsyncClient, act, reply)


@pytest.mark.parametrize(("method", "url", "options"), REQUESTS, ids=lambda value: str(value)[:30])
async def test_requests_are_those_of_httpx(method: str, url: str, options: dict[str, Any]) -> None:
    """Each request, sent twice, has the same bytes as with httpx, and so has the answer's request."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        return [shown(await client.request(method, url, **options)) for _ in range(2)]

    await both(act)


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_are_those_of_httpx(name: str) -> None:
    """Decoding, cookies, redirects and reasons are httpx's, and the next request knows of them."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        return [shown(await client.get("/a")), shown(await client.post("/b", json={"c": 1}))]

    await both(act, ANSWERS[name])


async def test_what_is_changed_at_the_client_counts() -> None:
    """Headers, cookies, parameters and the base URL may be changed between two requests."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        told = [shown(await client.get("/a"))]
        client.headers["Authorization"] = "Bearer one"
        told.append(shown(await client.get("/a")))
        client.headers["Authorization"] = "Bearer two"
        told.append(shown(await client.get("/a", headers={"X": "1"})))
        del client.headers["Accept"]
        told.append(shown(await client.get("/a")))
        client.cookies.set("session", "s")
        told.append(shown(await client.get("/a")))
        client.cookies.clear()
        client.params = {"p": "1"}
        told.append(shown(await client.get("/a")))
        client.params = {}
        client.base_url = client.base_url.join("/below/")
        told.append(shown(await client.get("/a")))
        client.timeout = httpx.Timeout(7)
        told.append(shown(await client.get("/a")))
        return told

    await both(act)


async def test_an_answer_is_the_requests_own() -> None:
    """Requests that share a prototype share nothing that a scenario can change."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        first = await client.get("/a")
        first.request.headers["X-Changed"] = "1"
        first.headers["X-Changed"] = "1"
        return shown(await client.get("/a"))

    await both(act)


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\nContent-Le", b"not http\r\n\r\n"])
async def test_errors_are_those_of_httpx(reply: bytes) -> None:
    """An error has its request, and its type."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        with pytest.raises(httpx.TransportError) as caught:
            await client.get("/a")
        return [type(caught.value), str(caught.value), str(caught.value.request.url)]

    await both(act, reply)


async def test_text_above_ascii_is_no_header() -> None:
    """httpx takes such a value as bytes only; the same is refused, before there is a request."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        with pytest.raises(UnicodeEncodeError) as caught:
            await client.get("/a", headers={"X-Name": "café"})
        return [str(caught.value)]

    await both(act)


async def test_what_is_no_json_is_no_request() -> None:
    """A value that httpx cannot encode is refused in the same way."""

    async def act(client: httpx.AsyncClient) -> list[Any]:
        told = []
        for value in (float("nan"), object(), {"x": float("inf")}):
            with pytest.raises((ValueError, TypeError)) as caught:
                await client.post("/a", json=value)
            told.append((type(caught.value), str(caught.value).partition(" at ")[0]))
        return told

    await both(act)
