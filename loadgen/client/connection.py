"""One connection to a server: sends one request at a time, and reads its answer."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from typing import TYPE_CHECKING, Final

from loadgen.core import http1

if TYPE_CHECKING:
    from loadgen.core.http1 import AnswerHead, Body

HEAD: Final = 0
MORE: Final = 1
END: Final = 2
"""What to wait for: the head of the answer, more of its body, or its end."""

_PIECE: Final = 1 << 18
"""Largest number of bytes read at once."""
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)
_BEGINNING: Final = b"HTTP/1."


class NoAnswer(Exception):  # noqa: N818 - all that a client knows of a request without one
    """There is no answer, or only a part of one."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The name of httpx's exception, such as ``ReadTimeout``."""


def begin_to_connect(family: int, address: tuple[object, ...]) -> tuple[socket.socket, bool]:
    """Return a socket, and whether it is connected; if not, :func:`connected` waits for it.

    On loopback it is, as a rule: the kernel completes the handshake before the call returns.

    Raises:
        OSError: nothing accepts connections there.
    """
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    code = -1
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = made.connect_ex(address)
    finally:
        if code not in (0, errno.EINPROGRESS):
            made.close()
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))
    return made, not code


async def connected(made: socket.socket) -> None:
    """Wait until a socket is connected, and close it if it cannot be.

    Raises:
        OSError: nothing accepts connections there.
    """
    code = -1
    try:
        await _writable(made.fileno())
        code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    finally:
        if code:
            made.close()
    if code:
        raise OSError(code, os.strerror(code))


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def is_writable() -> None:
        loop.remove_writer(descriptor)
        if not waiter.done():
            waiter.set_result(None)

    loop.add_writer(descriptor, is_writable)
    try:
        await waiter
    finally:
        loop.remove_writer(descriptor)


class Connection:
    """A connected socket, and the answer that is being read from it."""

    __slots__ = (
        "_body",
        "_buffer",
        "_busy",
        "_deadline",
        "_descriptor",
        "_failure",
        "_level",
        "_limit",
        "_loop",
        "_method",
        "_refused",
        "_rest",
        "_socket",
        "_timer",
        "_waiter",
        "head",
        "over",
        "usable",
    )

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._descriptor = made.fileno()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._level = HEAD
        self._busy = False
        self._body: Body = http1.Sized(0)
        self._rest = memoryview(b"")
        """The unsent part of the request."""
        self.usable = True
        """Whether another request may follow this answer."""
        self._loop.add_reader(self._descriptor, self._readable)

    def begin(self, method: str, request: bytes, limit: float | None) -> None:
        """Send *request*; *limit* is the time limit, in seconds, until the next bytes arrive."""
        self.head: AnswerHead | None = None
        self.over = False
        self._body = http1.Sized(0)
        self._buffer = b""
        self._failure: NoAnswer | None = None
        self._refused: OSError | None = None
        """Why the server stopped reading the request."""
        self._busy = True
        self._method = method
        self._limit = limit
        self.usable = not _CLOSE.search(request, 0, request.find(b"\r\n\r\n"))
        if limit is not None:
            self._deadline = self._loop.time() + limit
            if self._timer is not None and self._timer.when() > self._deadline:
                self._timer.cancel()
                self._timer = None
            self._timer = self._timer or self._loop.call_at(self._deadline, self._late)
        self._rest = memoryview(request)
        self._write()
        if self._rest:
            self._loop.add_writer(self._descriptor, self._write_on)

    def is_quiet(self) -> bool:
        """Whether the server has neither closed an idle connection nor sent anything on it."""
        if not self.usable:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def wait(self, level: int) -> None:
        """Wait for :data:`HEAD`, :data:`MORE` or :data:`END`.

        Raises:
            NoAnswer: it does not arrive.
        """
        if not self._reached(level):
            self._level = level
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        # A head counts, even if the answer broke off before anybody took it: that depends on the network.
        if self._failure is not None and (level != HEAD or self.head is None):
            raise self._failure

    def taken(self) -> list[bytes]:
        """Return the pieces of the body that have arrived since the last call."""
        content, self._body.content = self._body.content, []
        return content

    def close(self) -> None:
        """Close the connection; may be called more than once."""
        if self._descriptor < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._descriptor)
        if self._rest:
            self._loop.remove_writer(self._descriptor)
        self._descriptor = -1
        self._socket.close()
        self._fail("ReadError", "the connection was closed")

    def _reached(self, level: int) -> bool:
        if self._failure is not None or self.over:
            return True
        return level < END and self.head is not None and (level == HEAD or bool(self._body.content))

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost("ReadError", error.strerror or str(error))
            return
        if not self._busy:  # nothing was requested: the connection ends, or cannot be trusted
            self.usable = False
            self._loop.remove_reader(self._descriptor)
            return
        try:
            if data:
                self._take(data)
            else:
                self._end()
        except http1.Malformed as error:
            self._fail("RemoteProtocolError", f"not an answer of HTTP/1: {error}")
        if self._waiter is not None and not self._waiter.done() and self._reached(self._level):
            self._waiter.set_result(None)

    def _take(self, data: bytes) -> None:
        if self._limit is not None:
            self._deadline = self._loop.time() + self._limit
        if self.head is None:
            rest = self._take_head(data)
            if rest is None:
                return
            data = rest
        used = self._body.take(data) if data else 0
        if self._body.ended:
            self._finish(reusable=used == len(data))

    def _take_head(self, data: bytes) -> bytes | None:
        """Take bytes of the head; return the bytes after it, or None if it is not complete."""
        seen, buffer = len(self._buffer), self._buffer + data
        while (end := http1.head_end(buffer, seen)) >= 0:
            head = http1.answer_head(buffer[:end])
            seen, buffer = 0, buffer[end:]
            if head.status >= 200 or head.status == 101:  # noqa: PLR2004 - others announce the answer
                self.head, self._body, self._buffer = head, head.body(self._method), b""
                return buffer
        if not buffer.startswith(_BEGINNING[: len(buffer)]):
            raise http1.Malformed("it begins otherwise")
        if len(buffer) > http1.HEAD_LIMIT:
            raise http1.Malformed("a head that is too large")
        self._buffer = buffer
        return None

    def _end(self) -> None:
        """Handle the end of the server's data."""
        if isinstance(self._body, http1.ToTheEnd):
            self._body.ended = True
            self._finish(reusable=False)
        elif self.head is not None or self._buffer:
            self._lost("RemoteProtocolError", "the server closed the connection in the middle of its answer")
        else:
            self._lost("RemoteProtocolError", "the server closed the connection without an answer")

    def _finish(self, *, reusable: bool) -> None:
        """Note that the answer has ended; *reusable*: the connection can be used again."""
        assert self.head is not None
        self.over, self._busy = True, False
        self.usable = (
            self.usable
            and reusable
            and self.head.keeps
            # Some servers send a body nevertheless. If it comes late, it looks like the next answer.
            and self.head.has_body(self._method)
            and not self._rest
            and self._refused is None
        )

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # it may have answered nevertheless
            self._refused, sent = error, len(self._rest)
        self._rest = self._rest[sent:]

    def _write_on(self) -> None:
        self._write()
        if not self._rest:
            self._loop.remove_writer(self._descriptor)

    def _late(self) -> None:
        self._timer = None
        if not self._busy or self._limit is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._late)
        else:
            self._fail("ReadTimeout", f"nothing came for {self._limit:g} s")

    def _lost(self, kind: str, message: str) -> None:
        if self._refused is not None and self._busy and self.head is None:
            kind, message = "WriteError", self._refused.strerror or str(self._refused)
        self._fail(kind, message)

    def _fail(self, kind: str, message: str) -> None:
        self.usable = False
        if not self._busy:
            return
        self._busy = False
        self._failure = NoAnswer(kind, message)
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
