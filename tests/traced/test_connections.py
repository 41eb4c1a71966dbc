"""The threads and connections of a live server: started without waiting, and kept for what comes next."""

from __future__ import annotations

import re
import socket
import threading
import time
from concurrent.futures.thread import _global_shutdown_lock
from http.client import HTTPConnection
from queue import SimpleQueue
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from werkzeug import serving

from loadgen.traced.connections import READ, Pool, PromptThread, kept, lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Threaded(ThreadingMixIn, WSGIServer):
    """One that starts a thread for each connection."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """One that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Do nothing."""


def test_connections_share_a_thread() -> None:
    """One after the other in one thread, two at once in two; no thread is counted that serves nobody."""
    seen = list[int]()
    together = threading.Barrier(2)

    def application(environ: dict[str, str], start_response: object) -> list[bytes]:
        seen.append(threading.get_ident())
        if environ["PATH_INFO"] == "/both":
            together.wait(10)
        if environ["PATH_INFO"] == "/fails":
            raise SystemExit  # of the thread, as it is for socketserver's own
        start_response("200 OK", [("Content-Length", "0")])  # type: ignore[operator]
        return []

    def ask(path: str) -> int:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", path)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def ask_alone() -> int:
        """Ask when no thread serves: those that wait are not counted."""
        while any(one.name == "loadgen-connection" for one in threading.enumerate()):
            time.sleep(0.001)
        time.sleep(0.05)
        return ask("/")

    server = make_server("127.0.0.1", 0, application, server_class=Threaded, handler_class=Quiet)
    before = threading.Thread().name
    threading.Thread(target=kept(server).serve_forever, args=(0.01,), daemon=True, name="serving").start()
    try:
        assert [ask_alone(), ask_alone(), ask_alone()] == [200, 200, 200]
        assert len({*seen}) == 1
        both = [threading.Thread(target=ask, args=("/both",), name=f"ask-{n}") for n in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join(10)
        assert len({*seen}) == 2
        assert ask_alone() == 200
        assert len({*seen}) == 2
        number = int(before.rpartition("-")[2])
        assert threading.Thread().name == f"Thread-{number + 1}"  # as if nobody had started any
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_with_threads_of_its_own_is_left_alone() -> None:
    """What starts threads in its own way, or waits for them at its end, does so."""

    class Waits(ThreadingMixIn, WSGIServer):
        daemon_threads = False

    class Own(Threaded):
        def process_request(self, *_: object) -> None:
            """Do nothing."""

    for kind in (Waits, Own, WSGIServer):
        with kind(("127.0.0.1", 0), Quiet) as server:
            assert "process_request" not in vars(kept(server))


def test_a_requests_thread_is_a_thread_like_any_other() -> None:
    """It is known by its name while it runs, and forgotten afterwards, though nobody waits for its start."""
    seen = SimpleQueue[tuple[threading.Thread, bool]]()
    go_on = threading.Event()

    def run() -> None:
        seen.put((threading.current_thread(), threading.current_thread() in threading.enumerate()))
        go_on.wait(10)

    thread = PromptThread(target=run, name="loadgen-5", daemon=True)
    thread.start()
    assert seen.get(timeout=10) == (thread, True)
    assert thread.is_alive()
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


def test_a_thread_that_cannot_be_started_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no more threads, the error is the live server's, and nothing is left behind."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    before = threading.enumerate()
    with pytest.raises(RuntimeError, match="new thread"):
        PromptThread(target=refuse).start()
    assert threading.enumerate() == before


def test_a_pool_shares_no_lock() -> None:
    """It goes on while a thread of the application submits to a pool of the standard library, and waits."""
    with _global_shutdown_lock:
        assert Pool().submit(int, "7").result(10) == 7
        with pytest.raises(ValueError, match="invalid literal"):
            Pool().submit(int, "x").result(10)


def answering(headers: list[tuple[str, str]], *pieces: bytes, fails: bool = False) -> Callable[..., Any]:
    """Return an application that reads the body first, as the boundary does, and then answers."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length and environ["PATH_INFO"] != "/unread":
            environ[READ] = len(environ["wsgi.input"].read(length)) == length
        start_response("204 NO CONTENT" if environ["PATH_INFO"] == "/none" else "200 OK", headers)
        yield from pieces
        if fails:
            raise RuntimeError

    return application


SIZED = [("Content-Length", "5")]
BODY = b"Content-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    ("request_", "application", "keeps"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", answering(SIZED, b"hello"), True, id="length"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", answering([], b"hel", b"lo"), True, id="chunks"),
        pytest.param(b"POST / HTTP/1.1\r\n" + BODY, answering(SIZED, b"hello"), True, id="body"),
        pytest.param(
            b"POST /unread HTTP/1.1\r\n" + BODY, answering(SIZED, b"hello"), False, id="body not read"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            answering(SIZED, b"hello"),
            False,
            id="chunked body",
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", answering(SIZED, b"hell"), False, id="too short"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", answering(SIZED, b"hello!"), False, id="too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", answering(SIZED, b"he", fails=True), False, id="breaks off"),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n", answering([], b"he", fails=True), False, id="chunks break off"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n",
            answering([("Connection", "close"), *SIZED], b"hello"),
            False,
            id="the application closes",
        ),
        pytest.param(b"GET /none HTTP/1.1\r\n\r\n", answering([]), False, id="no body"),
        pytest.param(b"HEAD / HTTP/1.1\r\n\r\n", answering(SIZED), False, id="HEAD"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", answering(SIZED, b"hello"), False, id="HTTP/1.0"),
    ],
)
def test_connections_last(
    request_: bytes,
    application: Callable[..., Any],
    keeps: bool,  # noqa: FBT001
) -> None:
    """The next request comes on the same connection, if the ends of request and answer are known.

    Otherwise it is closed, behind the same bytes. If a rest of the request may be left, the head says so, and
    so does one of the application.
    """
    answers = list[bytes]()
    for handler in (lasting(None, serving), serving.WSGIRequestHandler):
        server = serving.make_server("127.0.0.1", 0, application, threaded=True, request_handler=handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True, name="serving").start()
        try:
            with socket.create_connection(("127.0.0.1", server.server_port), 10) as client:
                client.sendall(request_ + request_)
                client.shutdown(socket.SHUT_WR)
                answers.append(b"".join(iter(lambda: client.recv(65536), b"")))
        finally:
            server.shutdown()
            server.server_close()
    lasted, closed = (answer.split(b"HTTP/1.")[1:] for answer in answers)
    assert len(closed) == 1
    assert len(lasted) == (2 if keeps else 1)
    date = re.compile(rb"Date: [^\r]*\r\n")
    stock, here = date.sub(b"", closed[0]), date.sub(b"", lasted[0])
    head, _, body = stock.rpartition(b"Connection: close\r\n")
    has_rest = b"/unread" in request_ or b"chunked" in request_
    assert here == (stock if has_rest else head + body)
