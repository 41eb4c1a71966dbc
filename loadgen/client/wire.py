"""Sends a request byte for byte, exactly once, and reads its answer.

It speaks plain HTTP/1.1 on non-blocking sockets, directly on the event loop, because most of the cost of a
request is in the layers above. Nothing is added to a request, nothing is normalised, and nothing is sent
twice. :mod:`loadgen.core.http1` reads the framing of answers.

Errors have the names of httpx's exceptions (:class:`NoAnswer`), but httpx itself is not needed here.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

from loadgen.client.connection import END, HEAD, MORE, Connection, NoAnswer, begin_to_connect, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.core.exchange import Headers

_WORD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[^\x00-\x20\x7f]+")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)


def request_bytes(method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return the bytes of a request.

    Raises:
        NoAnswer: the bytes would be a different request, for example because a header contains a line break.
    """
    word = method.encode("latin-1", "replace")
    lines = [b"%s %s HTTP/1.1" % (word, target), *[b"%s: %s" % field for field in headers], b"\r\n"]
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if (
        head.count(b"\n") != breaks
        or head.count(b"\r") != breaks
        or b"\0" in head
        or not _WORD.fullmatch(word)
        or not _TARGET.fullmatch(target)
        or not all(_WORD.fullmatch(name) for name, _ in headers)
    ):
        raise NoAnswer("LocalProtocolError", f"{method} {target!r}: it cannot be sent as it is")
    if _CHUNKED.search(head):
        body = b"%X\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return head + body


class Reply:
    """An answer whose head has arrived; its body is read once, as a whole or in pieces."""

    __slots__ = ("_connection", "_wire", "headers", "reason", "status")

    def __init__(self, wire: Wire, connection: Connection) -> None:
        assert connection.head is not None
        self.status: int = connection.head.status
        self.reason: str = connection.head.reason
        self.headers: Headers = connection.head.headers
        """The header fields, unchanged."""
        self._wire = wire
        self._connection: Connection | None = connection

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            NoAnswer: it is not complete; :meth:`rest` returns the received part.
        """
        connection = self._connection
        assert connection is not None
        await connection.wait(END)
        content = connection.taken()
        self._connection = None
        self._wire.give_back(connection)
        return b"".join(content)

    def rest(self) -> bytes:
        """Return what has come of the body, and was not taken yet."""
        return b"".join(self._connection.taken()) if self._connection is not None else b""

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            NoAnswer: it is not complete; raised after its last piece.
        """
        connection = self._connection
        assert connection is not None
        over, broken = False, None
        while not over:
            try:
                await connection.wait(MORE)
            except NoAnswer as error:
                broken = error
            over = connection.over
            for piece in connection.taken():
                yield piece
            if broken is not None:
                raise broken
        self._connection = None
        self._wire.give_back(connection)

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.drop(connection)


class Wire:
    """Connections to one server, each used by one request at a time."""

    def __init__(self, host: str, port: int, *, only_behind: str = "") -> None:
        """*only_behind*: if given, a connection is used again only behind an answer with this header."""
        self._host = host
        self._port = port
        self._only_behind = only_behind.lower()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._addresses: list[tuple[int, tuple[object, ...]]] = []

    async def send(
        self, method: str, request: bytes, *, connect: float | None = None, read: float | None = None
    ) -> Reply:
        """Send *request*, and return its answer when the head has arrived.

        *connect* is the time limit for a connection in seconds, *read* the one until the next bytes.

        Raises:
            NoAnswer: there is no answer.
        """
        connection = self._free() or await self._connect(connect)
        try:
            connection.begin(method, request, read)
            await connection.wait(HEAD)
        except BaseException:
            self.drop(connection)
            raise
        return Reply(self, connection)

    def give_back(self, connection: Connection) -> None:
        """Take back a connection after its answer has been read."""
        if connection.usable and self._may_go_on(connection):
            self._idle.append(connection)
        else:
            self.drop(connection)

    def _may_go_on(self, connection: Connection) -> bool:
        wanted = self._only_behind
        assert connection.head is not None
        return not wanted or any(name.lower() == wanted for name, _ in connection.head.headers)

    def drop(self, connection: Connection) -> None:
        """Close *connection*."""
        self._open.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close every connection."""
        for connection in tuple(self._open):
            self.drop(connection)
        self._idle.clear()

    def _free(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            self.drop(connection)
        return None

    async def _connect(self, limit: float | None) -> Connection:
        """Open a connection to the first of the server's addresses that accepts one."""
        if len(self._addresses) == 1:  # the usual case: it takes no time, and needs no limit
            try:
                made, is_connected = begin_to_connect(*self._addresses[0])
            except OSError as error:
                raise self._refused(error) from error
            if is_connected:
                return self._opened(made)
        else:
            made = None
        try:
            async with asyncio.timeout(limit):
                return self._opened(await self._waited(made))
        except TimeoutError:
            where = f"{self._host}:{self._port}"
            raise NoAnswer("ConnectTimeout", f"no connection to {where} in {limit:g} s") from None
        except OSError as error:
            raise self._refused(error) from error

    async def _waited(self, made: socket.socket | None) -> socket.socket:
        """Wait for *made*, or for the first address that accepts a connection.

        Raises:
            OSError: none does.
        """
        if made is not None:
            await connected(made)
            return made
        if not self._addresses:
            self._addresses = await _resolved(self._host, self._port)
        failed: OSError | None = None
        for family, address in self._addresses:
            try:
                made, is_connected = begin_to_connect(family, address)
                if not is_connected:
                    await connected(made)
            except OSError as error:
                failed = failed or error
            else:
                return made
        raise failed or OSError(f"{self._host} has no address")

    def _opened(self, made: socket.socket) -> Connection:
        connection = Connection(made)
        self._open.add(connection)
        return connection

    def _refused(self, error: OSError) -> NoAnswer:
        self._addresses = []
        return NoAnswer("ConnectError", f"cannot connect to {self._host}:{self._port}: {error}")


async def _resolved(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
