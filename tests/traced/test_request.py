"""What enters the boundary: the live server's request, read whole and never more than that."""

from __future__ import annotations

import io
import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.traced.boundary import Request, _RequestThread

BODY = b"abcdef"


class Stream(io.BytesIO):
    """A connection: whoever reads it without a limit waits for ever."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "this read waits until the client closes the connection"
        return super().read(size)


def entering(**environ: Any) -> tuple[Request, dict[str, Any]]:
    """Return a request as it is when it enters, and what the live server said of itself and the client."""
    boundary: Any = SimpleNamespace(system=SimpleNamespace(disable_for=lambda call, **_: call), _served={})
    live = {"wsgi.url_scheme": "http", "HTTP_X_LOADGEN_SEQ": "7", "wsgi.input": Stream(BODY), **environ}
    request = Request(boundary, 7, live)
    return request, dict(boundary._served[7])


@pytest.mark.parametrize(
    ("length", "body"),
    [(None, b""), ("", b""), ("0", b""), ("3", b"abc"), ("6", BODY), ("-1", b""), ("abc", b""), ("²", b"")],
)
def test_a_body_is_as_long_as_it_says(length: str | None, body: bytes) -> None:
    """A length that is none means that there is no body: nobody waits for one."""
    request, _ = entering(**({} if length is None else {"CONTENT_LENGTH": length}))
    assert request.environ["wsgi.input"].read() == body


@pytest.mark.parametrize("length", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "6"}])
def test_a_body_that_ends_by_itself(length: dict[str, str]) -> None:
    """A chunked body has no length: the server says where it ends."""
    stream = io.BytesIO(BODY)
    request, _ = entering(**{"wsgi.input": stream, "wsgi.input_terminated": True, **length})
    assert request.environ["wsgi.input"].read() == BODY


def test_what_is_of_the_live_server_is_kept_apart() -> None:
    """Addresses and ports, texts and numbers, come from the tape; everything else is the client's request."""
    request, served = entering(REMOTE_ADDR="127.0.0.1", REMOTE_PORT=49152, SERVER_PORT="80", PATH_INFO="/a")
    addresses = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": 49152, "SERVER_PORT": "80"}
    assert served == {**addresses, "wsgi.url_scheme": "http"}
    assert request.asked == {"PATH_INFO": "/a"}


def test_a_requests_thread_is_a_thread_like_any_other() -> None:
    """It is known by its name while it runs, and forgotten afterwards, though nobody waits for its start."""
    seen = SimpleQueue[tuple[threading.Thread, bool]]()
    go_on = threading.Event()

    def run() -> None:
        seen.put((threading.current_thread(), threading.current_thread() in threading.enumerate()))
        go_on.wait(10)

    thread = _RequestThread(target=run, name="loadgen-5", daemon=True)
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
        _RequestThread(target=refuse).start()
    assert threading.enumerate() == before
