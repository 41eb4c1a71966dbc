"""Serves an ASGI application: a WSGI callable that runs each request as a task on one event loop.

The loop has a traced thread of its own, and each request keeps the logical thread that the boundary gives it.
What passes between the two goes through locks and the loop's own socket, which are on the tape; so the order
in which tasks begin and continue is, too. The application has one loop for all requests, in one thread, as
under uvicorn.
"""

from __future__ import annotations

import asyncio
import io
import threading
from http import HTTPStatus
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from loadgen import protocol
from loadgen.traced import wsgi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Message = dict[str, Any]
    Scope = dict[str, Any]
    Application = Callable[
        [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
    ]

VERSION = {"version": "3.0", "spec_version": "2.3"}
_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})
"""Headers that only the live server may set."""
CHUNK = 1 << 16
"""Largest part of a request's body in one message, in bytes."""
TARGET, HEADERS = "REQUEST_URI", "REQUEST_HEADERS"
"""Variables with a request's target and header lines as they came, which those of WSGI no longer tell."""
_NUMBER = protocol.SEQ_HEADER.lower()


def serve(application: Application, root_path: str = "") -> None:
    """Serve the ASGI *application*, which a proxy has below *root_path*, until the process is stopped."""
    wsgi.serve(OnLoop(application, root_path), HeadHandler)


class HeadHandler(wsgi.Handler):
    """Also passes on the target and the header lines of a request as they came."""

    def get_environ(self) -> dict[str, Any]:
        """Return the variables of the request."""
        lines = ((name.lower(), value.strip(" \t")) for name, value in self.headers.items())
        return {
            **super().get_environ(),
            TARGET: self.requestline.split()[1],  # that of self.path has one slash in front
            HEADERS: tuple(line for line in lines if line[0] != _NUMBER),
        }


class OnLoop:
    """A WSGI application that runs the ASGI *application*; its lifespan begins here, and has no end."""

    on_loop = True

    def __init__(self, application: Application, root_path: str = "") -> None:
        self.application = application
        self.root_path = root_path
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Task[None] | None = None
        # Not the one of a policy that the application may have set: uvloop's works in C, off the tape.
        self._loop = asyncio.SelectorEventLoop()
        started: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="event loop", daemon=True)
        self._thread.start()
        if (error := started.get()) is not None:
            raise error

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        """Serve a request: begin its task, and pass on what it sends."""
        exchange = OneTask(self._loop, environ)
        scope = {**scope_of(environ, self.root_path), "state": dict(self._state)}
        self._loop.call_soon_threadsafe(exchange.begin, self.application, scope)
        kind, message = exchange.sent.get()
        if kind == "error":
            raise message
        start_response(_status(message), _headers(message.get("headers", ())))
        return exchange.body()

    def _run(self, started: SimpleQueue[BaseException | None]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._start_up())
        except BaseException as error:  # noqa: BLE001 - raised where the server is started
            self._loop.close()
            started.put(error)
            return
        started.put(None)
        self._loop.run_forever()

    async def _start_up(self) -> None:
        """Begin the lifespan; an application without one says so by an error."""
        receiving, answered = asyncio.Queue[Any](), asyncio.Event()
        failed: list[str] = []

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message.get("message", ""))
            answered.set()

        async def live() -> None:
            scope = {"type": "lifespan", "asgi": VERSION, "state": self._state}
            try:
                await self.application(scope, receiving.get, send)
            except Exception:
                if failed:  # otherwise it does not support the protocol, says the specification
                    raise
            finally:
                answered.set()

        receiving.put_nowait({"type": "lifespan.startup"})
        self._lifespan = self._loop.create_task(live())
        await answered.wait()
        if failed:
            self._lifespan.cancel()
            await asyncio.gather(self._lifespan, return_exceptions=True)
            raise RuntimeError(f"the start-up of the application failed: {failed[0]}")


class OneTask:
    """A request and its answer: begun and received on the loop, read by the thread of the request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, environ: dict[str, Any]) -> None:
        self._loop = loop
        self._body = io.BytesIO(environ["wsgi.input"].read())
        self._length = len(self._body.getbuffer())
        self._asked = False
        self._head = environ["REQUEST_METHOD"] == "HEAD"
        self._gone = asyncio.Event()
        self._begun = self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.sent: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def begin(self, application: Application, scope: Scope) -> None:
        """Create the task of the request; called on the loop."""
        self._task = self._loop.create_task(self._run(application, scope))

    def body(self) -> Iterator[bytes]:
        """Yield the pieces of the answer; an iterator that is closed early tells that the client has left."""
        try:
            while True:
                kind, value = self.sent.get()
                if kind == "error":
                    raise value
                if value[0]:
                    yield value[0]
                if not value[1]:
                    return
        finally:
            self._loop.call_soon_threadsafe(self._gone.set)

    async def _run(self, application: Application, scope: Scope) -> None:
        try:
            await application(scope, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 - raised in the request's thread, where the server logs it
            if not self._ended:
                self.sent.put(("error", error))
            self._ended = True
            return
        if not self._ended:
            self.sent.put(("error", RuntimeError("the application returned without a complete answer")))

    async def _receive(self) -> Message:
        if self._asked:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        piece = self._body.read(CHUNK)
        more = self._body.tell() < self._length
        self._asked = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and not self._begun:
            self._begun = True
            self.sent.put(("start", message))
        elif kind == "http.response.body" and self._begun and not self._ended:
            more = bool(message.get("more_body", False))
            self._ended = not more
            piece = b"" if self._head else bytes(message.get("body", b""))
            self.sent.put(("body", (piece, more)))
        elif not self._ended:
            raise RuntimeError(f"unexpected message {kind!r}")


def scope_of(environ: dict[str, Any], root_path: str) -> Scope:
    """Return the scope of a request, as uvicorn does."""
    path, _, query = environ[TARGET].partition("?")
    return {
        "type": "http",
        "asgi": VERSION,
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": root_path + unquote(path),
        "raw_path": f"{root_path}{path}".encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": root_path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in environ[HEADERS]],
        "client": (environ.get("REMOTE_ADDR", "127.0.0.1"), int(environ.get("REMOTE_PORT") or 0)),
        "server": (environ.get("SERVER_NAME", "127.0.0.1"), int(environ.get("SERVER_PORT") or 0)),
    }


def _status(message: Message) -> str:
    status = message["status"]
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _headers(given: Any) -> list[tuple[str, str]]:
    pairs = ((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in given)
    return [(name, value) for name, value in pairs if name.lower() not in _OF_THE_CONNECTION]
