"""The threads and connections of a live server that serves each connection in a thread of its own.

The application does not run in these threads: each request has a thread of its own on the tape (see
:mod:`loadgen.traced.boundary`). So they serve one connection after the other; to start one for each took a
tenth of the time of a replay of small requests. For the same reason Flask's server keeps its connections in a
replay, where it would close them: to connect for each request took a fifth.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from loadgen.traced.tape import LiveLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from http.server import BaseHTTPRequestHandler

READ = "loadgen.read"
"""In the live server's variables of a request: the body, as long as its head says, has been read."""
_CLOSE = ("Connection", "close")
_LAST_CHUNK = b"0\r\n\r\n"


class PromptThread(threading.Thread):
    """A thread whose creator does not wait until it runs, which takes two switches of threads."""

    def start(self) -> None:
        """Start the thread."""
        limbo: dict[threading.Thread, threading.Thread] = threading._limbo  # type: ignore[attr-defined]
        guard = threading._active_limbo_lock  # type: ignore[attr-defined]
        with guard:
            limbo[self] = self
        try:
            threading._start_new_thread(self._bootstrap, ())  # type: ignore[attr-defined]
        except BaseException:
            with guard:
                del limbo[self]
            raise


class _Worker:
    """A thread that does one task after the other, and waits for the next one meanwhile."""

    __slots__ = ("task", "wake")

    def __init__(self) -> None:
        self.task: tuple[Callable[..., object], tuple[Any, ...]] | None = None
        self.wake = LiveLock()
        self.wake.acquire()


class _Workers:
    """Threads, as many as there are tasks at one time."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._known: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]

    def do(self, call: Callable[..., object], *args: Any) -> None:
        """Have a thread do *call*."""
        try:
            mine = self._idle.pop()
        except IndexError:
            mine = _Worker()
            mine.task = call, args
            PromptThread(target=self._work, args=(mine,), name="loadgen-connection", daemon=True).start()
        else:
            mine.task = call, args
            mine.wake.release()

    def _work(self, mine: _Worker) -> None:
        me = threading.current_thread()
        while mine.task is not None:
            (call, args), mine.task = mine.task, None
            call(*args)
            del call, args
            self._known.pop(get_ident(), None)  # an application that counts its threads does not see it
            self._idle.append(mine)
            mine.wake.acquire()
            self._known[get_ident()] = me


def kept(server: Any) -> Any:
    """Let the threads of *server*, one of socketserver's, serve more than one connection."""
    import socketserver  # noqa: PLC0415 - a module that the engine shall know

    stock = socketserver.ThreadingMixIn.process_request
    if getattr(type(server), "process_request", None) is stock and server.daemon_threads:
        server.process_request = partial(_Workers().do, server.process_request_thread)
    return server


class Pool:
    """A pool for the threads of a live server in a replay.

    Those of the standard library share a lock. A thread of the application that waits for its turn while it
    submits something holds it, and the server could not read the request whose turn it is.
    """

    def __init__(self) -> None:
        from concurrent import futures  # noqa: PLC0415 - a module that the engine shall know

        self._future: Callable[[], Future[Any]] = futures.Future
        self._workers = _Workers()

    def submit(self, call: Callable[..., object], *args: Any) -> Future[Any]:
        """Have a thread do *call*; return its future."""
        future = self._future()
        self._workers.do(self._fulfil, future, call, args)
        return future

    @staticmethod
    def _fulfil(future: Future[Any], call: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            result = call(*args)
        except BaseException as error:  # noqa: BLE001 - for whoever asks the future
            future.set_exception(error)
        else:
            future.set_result(result)

    def shutdown(self, **_how: Any) -> None:
        """Do nothing: a replay ends with its process."""


if TYPE_CHECKING:

    class _Handler(BaseHTTPRequestHandler):
        """Werkzeug's, which is known only in the server."""

        def run_wsgi(self) -> None: ...
else:
    _Handler = object


class _Out:
    """What a handler writes to a connection; pieces are sent together when it is flushed."""

    closed = False

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._pieces: list[bytes] = []
        self.size = 0
        """Number of bytes that were written."""
        self.last = b""
        """The last piece."""

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        self.last = piece

    def flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._send(b"".join(pieces))

    def close(self) -> None:
        self.closed = True


class _Lasting(_Handler):
    """Lets Werkzeug's handler keep its connection. Werkzeug closes each, because a request may have a rest.

    Here it has usually been read to its end. If not, or if the end of an answer shows in nothing else, the
    connection is closed as ever.
    """

    serving: ClassVar[dict[Any, _Lasting]] = {}
    """The handler of each connection."""
    environ: dict[str, Any]
    _closes = False
    _length = ""
    """The answer's ``Content-Length``."""
    _head = 0
    """Number of bytes that were written up to the end of the head."""

    def setup(self) -> None:
        super().setup()
        self.wfile: Any = _Out(self.connection.sendall)
        self.serving[self.connection] = self

    def finish(self) -> None:
        del self.serving[self.connection]
        super().finish()

    @property
    def is_read(self) -> bool:
        """Whether what comes next on the connection is another request."""
        has_body = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        return not has_body or READ in self.environ

    def run_wsgi(self) -> None:
        """Serve one request."""
        self._closes, self._length = False, ""
        super().run_wsgi()
        size = str(self.wfile.size - self._head)
        is_whole = size == self._length if self._length else self.wfile.last == _LAST_CHUNK
        self.close_connection = bool(self.close_connection or not (is_whole and self.is_read))

    def send_header(self, keyword: str, value: str) -> None:
        if self._closes:
            super().send_header(*_CLOSE)
        self._closes = (keyword, value) == _CLOSE  # Werkzeug's own is the last header
        if not self._closes:
            super().send_header(keyword, value)
        if keyword.lower() == "content-length":
            self._length = value

    def end_headers(self) -> None:
        if self._closes and not self.is_read:
            super().send_header(*_CLOSE)
        super().end_headers()
        self._head = self.wfile.size


def lasting(handler: Any, werkzeug: Any) -> Any:
    """Return *handler* so that it keeps connections; one of the application stays as it is."""
    stock = werkzeug.WSGIRequestHandler
    if handler not in {None, stock}:
        return handler
    if hasattr(werkzeug, "selectors"):
        werkzeug.selectors = _selectors()
    return type("WSGIRequestHandler", (_Lasting, stock), {})


def _selectors() -> Any:
    """Return a module for Werkzeug, which waits behind each answer for the rest of the request."""
    import selectors  # noqa: PLC0415 - a module that the engine shall know

    class Unread:
        """Waits, and asks the kernel, only if there is a rest."""

        _rest: selectors.BaseSelector | None = None

        def register(self, connection: Any, *events: Any) -> None:
            handler = _Lasting.serving.get(connection)
            if handler is None or not handler.is_read:
                self._rest = selectors.DefaultSelector()
                self._rest.register(connection, *events)

        def select(self, timeout: float | None = None) -> Any:
            return self._rest.select(timeout) if self._rest else []

        def close(self) -> None:
            if self._rest:
                self._rest.close()

    return SimpleNamespace(DefaultSelector=Unread, EVENT_READ=selectors.EVENT_READ)
