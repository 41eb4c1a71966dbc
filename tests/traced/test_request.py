"""What enters the boundary: the live server's request, and its body as the server gives it."""

from __future__ import annotations

import hashlib
import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.traced.boundary import Request
from loadgen.traced.input import dechunked, read_again
from loadgen.traced.tape import Diverged

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b"abc\nef\ngh"


class Boundary:
    """The boundary's share in a request: what is read on the tape."""

    def __init__(self) -> None:
        self.system = SimpleNamespace(disable_for=lambda call, **_: call)
        self._served: dict[int, tuple[tuple[str, Any], ...]] = {}
        self._inputs: dict[int, Any] = {}
        self.reads: list[tuple[str, int]] = []

    def reading(self, seq: int, *, in_chunks: bool) -> Callable[[str, int], bytes]:
        self.in_chunks = in_chunks

        def read(method: str, size: int) -> bytes:
            self.reads.append((method, size))
            content: bytes = getattr(self._inputs[seq], method)(size)
            return content

        return read


def entering(**environ: Any) -> tuple[Request, dict[str, Any], Any]:
    """Return a request as it is when it enters, what the live server said of itself, and the boundary."""
    boundary: Any = Boundary()
    connection = io.BufferedReader(io.BytesIO(BODY))
    live = {"wsgi.url_scheme": "http", "HTTP_X_LOADGEN_SEQ": "7", "wsgi.input": connection, **environ}
    request = Request(boundary, 7, live)
    return request, dict(boundary._served[7]), boundary


@pytest.mark.parametrize(
    ("length", "read"),
    [
        (None, b""), ("", b""), ("0", b""), ("3", b"abc"), ("6", b"abc\nef"), ("-1", b""), ("abc", b""),
        ("²", b""), ("+3", b""), ("3, 3", b""), ("9" * 20, b""),
    ],
)  # fmt: skip
def test_a_body_with_a_valid_length_is_read_before(length: str | None, read: bytes) -> None:
    """What is not a length says nothing: only the application knows how much it wants to read."""
    environ = {} if length is None else {"CONTENT_LENGTH": length}
    request, _, boundary = entering(**environ)
    assert request.body_digest == hashlib.sha256(read).digest()
    assert boundary._inputs[7].read() == BODY[len(read) :]


READS: dict[str, Callable[[Any], Any]] = {
    "all": lambda stream: stream.read(),
    "none": lambda stream: stream.read(None),
    "some": lambda stream: [stream.read(2), stream.read(3), stream.read(0), stream.read(9)],
    "one": lambda stream: [stream.read1(2), stream.read1(50)[:1]],
    "line": lambda stream: [stream.readline(), stream.readline(1), stream.readline(), stream.readline()],
    "lines": lambda stream: stream.readlines(),
    "iterated": list,
    "into": lambda stream: [stream.readinto(into := bytearray(5)), bytes(into)],
    "text": lambda stream: io.TextIOWrapper(stream).read(),
    "kind": lambda stream: [stream.readable(), stream.writable(), isinstance(stream, io.IOBase)],
}


@pytest.mark.parametrize("length", ["+3", "3", "4", "5", "0"])
@pytest.mark.parametrize("how", READS)
def test_the_application_reads_as_from_the_connection(how: str, length: str) -> None:
    """Whatever it reads, and wherever the body ends: it gets what the server itself would have given it."""
    request, _, _ = entering(CONTENT_LENGTH=length)
    plain = io.BufferedReader(io.BytesIO(BODY))
    assert READS[how](request.environ["wsgi.input"]) == READS[how](plain)


def test_a_body_that_ends_by_itself_is_read_before() -> None:
    """The server says so, and needs no length."""
    stream = io.BytesIO(BODY)
    request, _, boundary = entering(**{"wsgi.input": stream, "wsgi.input_terminated": True})
    assert request.environ["wsgi.input"].read() == BODY
    assert (boundary.reads, boundary._inputs) == ([], {})


def test_a_chunked_body_is_read_by_the_application() -> None:
    """It may be invalid in its middle: the error is that of the read that finds it."""

    class Chunked:
        def read(self, size: int) -> bytes:
            if size < 0:
                raise OSError("no chunk")
            return BODY[:size]

    live = {"wsgi.input": Chunked(), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    request, _, boundary = entering(**live)
    stream = request.environ["wsgi.input"]
    assert stream.read(2) == b"ab"
    with pytest.raises(OSError, match="no chunk"):
        stream.read()
    assert boundary.reads == [("read", 2), ("read", -1)]
    assert not hasattr(stream, "readinto")


def test_a_replay_reads_what_the_live_request_has() -> None:
    """What the tape gives is compared with the live request, which is read as far as the recorded one was."""
    live = io.BytesIO(b"abcXYZ")
    read = read_again(Boundary().system, lambda _method, size: BODY[:size], live)
    assert read("readline", 3) == b"abc"
    with pytest.raises(Diverged, match="not the recorded body"):
        read("read", 3)


@pytest.mark.parametrize(("more", "in_chunks"), [({}, True), ({"wsgi.input_terminated": True}, False)])
def test_who_reads_chunks(more: dict[str, bool], in_chunks: bool) -> None:  # noqa: FBT001
    """The application does, if the live server does not decode them."""
    _, _, boundary = entering(HTTP_TRANSFER_ENCODING="Chunked", **more)
    assert boundary.in_chunks is in_chunks


def test_a_replay_reads_other_chunks() -> None:
    """The application gets those on the tape; those of the live request are read, and nothing behind them."""
    recorded = io.BytesIO(b"1\r\na\r\n1;b=c\r\nb\r\n0\r\n\r\n")
    live = io.BytesIO(b"2\r\nab\r\n0\r\n\r\nnext")

    def on_the_tape(method: str, size: int) -> bytes:
        content: bytes = getattr(recorded, method)(size)
        return content

    read = read_again(Boundary().system, on_the_tape, live, in_chunks=True)
    assert read("readline", -1) + read("read", 5) == b"1\r\na\r\n1;"
    assert live.read() == b"next"
    assert dechunked(io.BytesIO(b"1;" + read("read", -1))) == b"b"


def test_chunks() -> None:
    """The standard library's server gets bodies that end, and refuses those that are not well-formed."""
    body = b"5;a=b\r\nhello\r\n1\n!\n0\r\nX: 1\r\n\r\nnext"
    stream = io.BytesIO(body)
    assert dechunked(stream) == b"hello!"
    assert stream.read() == b"next"
    for broken in (b"", b"5\r\nhel", b"x\r\n", b"+1\r\na\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"1_0\r\n"):
        with pytest.raises(ValueError, match="a chunk has"):
            dechunked(io.BytesIO(broken))


def test_what_is_of_the_live_server_is_kept_apart() -> None:
    """Addresses and ports, texts and numbers, come from the tape; everything else is the client's request."""
    request, served, _ = entering(
        REMOTE_ADDR="127.0.0.1", REMOTE_PORT=49152, SERVER_PORT="80", PATH_INFO="/a"
    )
    addresses = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": 49152, "SERVER_PORT": "80"}
    assert served == {**addresses, "wsgi.url_scheme": "http"}
    assert request.asked == {"PATH_INFO": "/a"}
