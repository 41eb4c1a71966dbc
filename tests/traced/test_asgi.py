"""An ASGI application behind WSGI: one loop, one task for each request, the messages of the specification."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

import pytest

from loadgen.traced import asgi, wsgi
from loadgen.traced.asgi import OnLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Messages = list[dict[str, Any]]
    Serve = Callable[["Application"], OnLoop]


class Application:
    """Does what the path names, and notes what it was given."""

    def __init__(self, starting: str = "") -> None:
        self.starting = starting
        self.scopes: Messages = []
        self.loops = set[int]()
        self.received: Messages = []
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        self.scopes.append(scope)
        self.loops.add(id(asyncio.get_running_loop()))
        await getattr(self, scope["path"][1:], self.nowhere)(receive, send)

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        if self.starting == "unsupported":
            raise ValueError(scope["type"])
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["given"] = 1
        await send({"type": f"lifespan.startup.{self.starting or 'complete'}", "message": "no database"})
        await receive()

    async def start(self, send: Any, status: int = 200) -> None:
        headers = [(b"X-A", b"1"), (b"x-a", b"2"), (b"Connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def nowhere(self, receive: Any, send: Any) -> None:
        await self.start(send)
        await send({"type": "http.response.body"})

    async def echo(self, receive: Any, send: Any) -> None:
        while True:
            self.received.append(await receive())
            if not self.received[-1]["more_body"]:
                break
        await self.start(send, 299)
        for one in self.received:
            await send({"type": "http.response.body", "body": one["body"], "more_body": True})
        await send({"type": "http.response.body"})

    async def endless(self, receive: Any, send: Any) -> None:
        await receive()
        await self.start(send)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        self.left.set()

    async def before(self, receive: Any, send: Any) -> None:
        raise LookupError("before")

    async def during(self, receive: Any, send: Any) -> None:
        await self.start(send)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        raise LookupError("during")

    async def nothing(self, receive: Any, send: Any) -> None:
        pass

    async def wrong(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": b""})

    async def after(self, receive: Any, send: Any) -> None:
        await self.start(send)
        await send({"type": "http.response.body", "body": b"done"})
        self.left.set()
        raise LookupError("nobody waits for it")


@pytest.fixture
def serve() -> Iterator[Callable[[Application], OnLoop]]:
    made: list[OnLoop] = []

    def make(application: Application) -> OnLoop:
        made.append(OnLoop(application))
        return made[-1]

    yield make
    for one in made:
        loop = one._loop

        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        one._thread.join(5)
        loop.close()


def asked(path: str, body: bytes = b"", method: str = "POST") -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "REQUEST_URI": f"{path}?a=b",
        "REQUEST_HEADERS": (("x-some", "thing"),),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "h",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "1.2.3.4",
        "wsgi.input": io.BytesIO(body),
    }


def answered(served: OnLoop, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], Iterator[bytes]]:
    heads: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], None]:
        heads.extend((status, headers))
        return lambda _: None

    body = served(environ, start)
    return heads[0], heads[1], body


def test_requests_and_answers(serve: Serve) -> None:
    """Bodies come in pieces, headers keep their order, and hop-by-hop ones are the live server's."""
    application = Application()
    served = serve(application)
    content = b"x" * 100_000
    status, headers, body = answered(served, asked("/echo", content))
    assert (status, headers, b"".join(body)) == ("299 Unknown", [("X-A", "1"), ("x-a", "2")], content)
    assert [len(one["body"]) for one in application.received] == [65_536, 34_464]
    scope = application.scopes[0]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/echo", b"a=b")
    assert scope["headers"] == [(b"x-some", b"thing")]
    assert (scope["client"], scope["server"], scope["state"]) == (("1.2.3.4", 0), ("h", 80), {"given": 1})
    application.received.clear()
    _, _, body = answered(served, asked("/echo", b"abc", "HEAD"))
    assert b"".join(body) == b""
    assert len(application.loops) == 1


def test_a_request_as_it_came(serve: Serve) -> None:
    """Its target and its header lines are those of the connection, as uvicorn gives them."""
    application = Application()
    served = serve(application)
    served.root_path = "/below"
    server = make_server("127.0.0.1", 0, served, wsgi.Server, asgi.HeadHandler)
    with server, socket.create_connection(server.server_address[:2]) as client:  # type: ignore[arg-type]
        client.sendall(
            b"Get //f%2Fi/%C3%A9?q=%2F HTTP/1.1\r\nHost: h\r\nX-Some: 1\r\nX_Some: 2 \r\nx-some: \xe9\r\n"
            b"X-Loadgen-Seq: 7\r\nContent-Length: 1\r\n\r\nb"
        )
        server.handle_request()
        assert client.recv(1000).startswith(b"HTTP/1.0 200")
    [scope] = application.scopes
    assert scope["headers"] == [
        (b"host", b"h"), (b"x-some", b"1"), (b"x_some", b"2"), (b"x-some", b"\xe9"),
        (b"content-length", b"1"),
    ]  # fmt: skip
    assert (scope["path"], scope["raw_path"]) == ("/below//f/i/\u00e9", b"/below//f%2Fi/%C3%A9")
    assert (scope["method"], scope["query_string"], scope["root_path"]) == ("Get", b"q=%2F", "/below")


def test_a_client_that_leaves(serve: Serve) -> None:
    """The application hears of it."""
    application = Application()
    _, _, body = answered(serve(application), asked("/endless"))
    assert next(body) == b"one"
    body.close()  # type: ignore[attr-defined]
    assert application.left.wait(5)


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/before", LookupError, "before"),
        ("/nothing", RuntimeError, "without a complete answer"),
        ("/wrong", RuntimeError, "unexpected message"),
    ],
)
def test_errors_before_the_answer(serve: Serve, path: str, kind: type[Exception], says: str) -> None:
    """They are raised where a WSGI server expects them."""
    with pytest.raises(kind, match=says):
        answered(serve(Application()), asked(path))


def test_errors_later(serve: Serve) -> None:
    """During the answer they end it; after it they concern nobody."""
    application = Application()
    served = serve(application)
    _, _, body = answered(served, asked("/during"))
    assert next(body) == b"one"
    with pytest.raises(LookupError, match="during"):
        next(body)
    _, _, body = answered(served, asked("/after"))
    assert b"".join(body) == b"done"
    assert application.left.wait(5)
    assert b"".join(answered(served, asked("/after"))[2]) == b"done"


def test_lifespan(serve: Serve) -> None:
    """A start-up may be unsupported; one that fails is the server's failure."""
    assert answered(serve(Application("unsupported")), asked("/echo"))[0] == "299 Unknown"
    with pytest.raises(RuntimeError, match="start-up of the application failed: no database"):
        OnLoop(Application("failed"))


def test_the_loop_is_pythons_own(serve: Callable[[Application], OnLoop]) -> None:
    """A policy of the application, such as uvloop's, does not choose the loop: that would be off the tape."""

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> Any:
            raise AssertionError("off the tape")

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        serve(Application())
    finally:
        asyncio.set_event_loop_policy(before)
