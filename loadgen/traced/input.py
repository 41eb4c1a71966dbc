"""``wsgi.input``: the body of a request, as the live server gives it to an application.

If a request says in a valid way how long its body is, the boundary has read it. What comes behind that
depends on how the application reads: a chunked body may turn out to be invalid in its middle, or come as the
connection has it, with its chunks; with ``Content-Length: +3`` the end is that of the connection. So what the
application reads there is read from the stream of the live server, and is on the tape. A replay reads it,
too, and compares it, unless it comes with its chunks.
"""

from __future__ import annotations

import io
import re
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from loadgen import protocol
from loadgen.traced.tape import Diverged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[str, int], bytes]
    """Calls a method of the live stream, by its name, with a size."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE = 1 << 16


def bounded(environ: dict[str, Any]) -> int | None:
    """Return how much to read for the whole body of a request, -1 for all; None if its end is not known."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    if environ.get("wsgi.input_terminated"):
        return -1
    length = environ.get("CONTENT_LENGTH") or ""
    # A length that no stream accepts is refused when the application reads, if it does.
    return int(length) if length.isascii() and length.isdigit() and int(length) <= sys.maxsize else None


def input_like(stream: Any, body: bytes, rest: Read | None) -> Any:
    """Return a stream with the methods of *stream*: it has the *body*, and behind it what *rest* reads."""
    if rest is None and getattr(stream, "seekable", bool)():
        return io.BytesIO(body)
    source = _Source(body, rest)
    return FromConnection(source) if isinstance(stream, io.IOBase) else _plain(type(stream).__name__)(source)


def has_chunks(environ: dict[str, Any]) -> bool:
    """Whether the live server gives the chunks of a body as they come, as wsgiref's does."""
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and not environ.get(
        "wsgi.input_terminated"
    )


def dechunked(stream: Any) -> bytes:
    """Return the content of a chunked body.

    Raises:
        ValueError: it is not one.
    """
    pieces = []
    while True:
        found = _SIZE.fullmatch(stream.readline(_LINE))
        if found is None:
            raise ValueError("a chunk has no size")
        size = int(found[1], 16)
        if not size:
            break
        piece = stream.read(size)
        if len(piece) < size or stream.readline(3) not in {b"\r\n", b"\n"}:
            raise ValueError("a chunk has another size")
        pieces.append(piece)
    while stream.readline(_LINE).strip():  # trailers
        pass
    return b"".join(pieces)


def read_again(system: Any, recorded: Read, live: Any, *, in_chunks: bool = False) -> Read:
    """Return *recorded* for a replay: *live* has to have what was read while recording.

    A body that comes *in_chunks* is not compared: the client of a replay cuts it into other ones. It is read
    to its end, because a server that closes a connection with something unread may lose the answer.
    """
    unread = [live]

    def compare(content: bytes) -> bool:
        if not in_chunks:
            return bool(live.read(len(content)) == content)
        if unread:
            with suppress(ValueError):
                dechunked(unread.pop())
        return True

    is_same = system.disable_for(compare, unwrap_args=False)

    def read(method: str, size: int) -> bytes:
        content = recorded(method, size)
        if not is_same(content):
            what = "the live request is not the recorded one: not the recorded body"
            raise Diverged(protocol.NOT_THE_RECORDED_REQUEST, what)
        return content

    return read


class _Source:
    """The body, and what is behind it."""

    def __init__(self, body: bytes, rest: Read | None) -> None:
        self._body = io.BytesIO(body)
        self._rest = rest or (lambda _method, _size: b"")

    def read(self, size: int | None) -> bytes:
        wanted = -1 if size is None else size
        found = self._body.read(wanted)
        if wanted < 0:
            return found + self._rest("read", -1)
        return found if len(found) == wanted else found + self._rest("read", wanted - len(found))

    def read1(self, size: int) -> bytes:
        return self._body.read1(size) or self._rest("read1", size)

    def readline(self, size: int | None) -> bytes:
        wanted = -1 if size is None else size
        found = self._body.readline(wanted)
        if found.endswith(b"\n") or len(found) == wanted:
            return found
        return found + self._rest("readline", wanted if wanted < 0 else wanted - len(found))


class FromConnection(io.BufferedIOBase):
    """The input of a server that gives the connection, or another stream of Python's."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read *size* bytes, or all."""
        return self._source.read(size)

    def read1(self, size: int = -1, /) -> bytes:
        """Read what is there."""
        return self._source.read1(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line, or *size* bytes of it."""
        return self._source.readline(size)


class PlainInput:
    """The input of a server that gives no more than PEP 3333 demands."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self._source.readline(None)
        if not line:
            raise StopIteration
        return line

    next = __next__

    def read(self, size: int | None = None) -> bytes:
        """Read *size* bytes, however many, or all."""
        return self._source.read(None if size is None else min(size, sys.maxsize))

    def readline(self, size: int | None = None) -> bytes:
        """Read a line, or *size* bytes of it."""
        return self._source.readline(size)

    def readlines(self, size: int | None = None) -> list[bytes]:
        """Read all lines; gunicorn ignores *size*."""
        del size
        return list(self)


@cache
def _plain(name: str) -> type[PlainInput]:
    """Return the class under the name of the server's, which is in the errors for what it has not."""
    return type(name, (PlainInput,), {})
