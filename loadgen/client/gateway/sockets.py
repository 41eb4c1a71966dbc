"""Non-blocking sockets with callbacks, based only on the kernel's readiness notifications.

A connection costs no task and no future. Most servers close connections after each answer, so a request pays
for two of them. With asyncio's own transports, they cost more than all the rest of a request; even its
readers and writers take a handle and several look-ups each. So all sockets are in one epoll of their own, and
are those of C, without the classes around them.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from errno import EINPROGRESS, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIVED = 1 << 18
"""Number of bytes received at once."""
HIGH, LOW = 1 << 16, 1 << 14
"""Numbers of unsent bytes at which the other side has to wait, and may continue."""
BACKLOG = 1024
MOST_PORTS = 0xFFFF
PAUSE = 0.2
"""Seconds until a connection is accepted again after this process ran out of descriptors."""
ROUNDS, MORE = 8, 0.001
"""How often more sockets are awaited, and for how many seconds, before the event loop's other work.

What the loop does between two calls costs as much as parsing a request and its answer.
"""
_EXHAUSTED = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
_BREAK = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection instead of ending it in an orderly way."""


class _Ready(Protocol):
    """A socket that waits for readiness."""

    def ready(self, events: int) -> None:
        """Handle the *events* of epoll."""


class Readiness:
    """Calls the sockets that are ready, on the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._waiting: dict[int, _Ready] = {}
        self.loop.add_reader(self._epoll.fileno(), self._call)

    def wait(self, number: int, one: _Ready, events: int) -> None:
        """Call *one* whenever its socket, the descriptor *number*, is ready for one of *events*; 0: never."""
        if number not in self._waiting:
            if events:
                self._epoll.register(number, events)
                self._waiting[number] = one
        elif events:
            self._epoll.modify(number, events)
        else:  # with no events, it would still be called for the end of the connection, again and again
            del self._waiting[number]
            self._epoll.unregister(number)

    def closed(self, number: int) -> None:
        """Note that the descriptor *number* is closed: the kernel has forgotten it by itself."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Wait for nothing more."""
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _call(self) -> None:
        # A callback may close another socket, whose number may be that of a new one then. A closed socket is
        # in epoll as long as a child process that is just being started has it, too.
        waiting = self._waiting
        for _ in range(ROUNDS):
            found = [
                (waiting[number], events) for number, events in self._epoll.poll(MORE) if number in waiting
            ]
            if not found:
                return
            for one, events in found:
                one.ready(events)


_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


class Receiver(Protocol):
    """The receiver of callbacks."""

    def data_received(self, data: bytes) -> None:
        """Handle bytes."""

    def eof_received(self) -> bool:
        """Handle the end of the other side's data; return whether this side continues to send."""

    def pause_writing(self) -> None:
        """Stop writing for now."""

    def resume_writing(self) -> None:
        """Write again."""

    def connection_lost(self, error: OSError | None) -> None:
        """Note that the connection is closed: by this side, or by an error."""


class Stream:
    """A connected socket; its data goes to *receiver*."""

    def __init__(self, connection: socket.SocketType, receiver: Receiver, readiness: Readiness) -> None:
        self._readiness = readiness
        self._socket = connection
        self._number = connection.fileno()
        self._receiver = receiver
        self._unsent = bytearray()
        self._reads = True
        self._is_held_up = False
        self._ends = False
        """Whether to end the data after the unsent bytes."""
        self._closes = False
        """Whether to close after the unsent bytes."""
        self._closed = False
        readiness.wait(self._number, self, _READ)

    def ready(self, events: int) -> None:
        """Handle the *events* of epoll: the end of the connection is one for both."""
        if self._reads and events & ~_WRITE:
            self._receive()
        if self._unsent and events & ~_READ:
            self._flush()

    def _wait(self) -> None:
        reads = _READ if self._reads else 0
        self._readiness.wait(self._number, self, reads | _WRITE if self._unsent else reads)

    def write(self, data: bytes) -> None:
        """Send *data*, as much as possible at once."""
        if self._closes or self._closed:
            return
        if not self._unsent:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                # Not now: the caller is in the middle of something.
                self._readiness.loop.call_soon(self._shut, error)
                return
            if sent == len(data):
                return
            self._unsent += data[sent:]
            self._wait()
        else:
            self._unsent += data
        if len(self._unsent) > HIGH and not self._is_held_up:
            self._is_held_up = True
            self._receiver.pause_writing()

    def write_eof(self) -> None:
        """Send no more, but receive."""
        self._ends = True
        if not self._unsent and not self._closed:
            self._end()

    def close(self) -> None:
        """Close it when everything is sent."""
        if not self._closes and not self._closed:
            self._closes = True
            if self._unsent:
                self.pause_reading()
            else:
                self._shut(None)

    def abort(self) -> None:
        """Close it now."""
        self._shut(None)

    def break_off(self) -> None:
        """Reset it now, so that the other side sees that it was not an orderly end."""
        if not self._closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
            self._shut(None)

    def pause_reading(self) -> None:
        """Stop reading."""
        if self._reads:
            self._reads = False
            self._wait()

    def resume_reading(self) -> None:
        """Read again."""
        if not (self._reads or self._closes or self._closed):
            self._reads = True
            self._wait()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._shut(error)
            return
        if data:
            self._receiver.data_received(data)
            return
        self.pause_reading()
        if not self._receiver.eof_received():
            self.close()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._shut(error)
            return
        del self._unsent[:sent]
        if self._is_held_up and len(self._unsent) <= LOW:
            self._is_held_up = False
            self._receiver.resume_writing()
        if not self._unsent and not self._closed:
            self._wait()
            if self._closes:
                self._shut(None)
            elif self._ends:
                self._end()

    def _end(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # it is no longer connected
            self._readiness.loop.call_soon(self._shut, error)

    def _shut(self, error: OSError | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._reads = False
        self._unsent.clear()
        self._socket.close()
        self._readiness.closed(self._number)
        receiver = self._receiver
        del self._receiver  # both refer to each other, and would stay until a collection
        receiver.connection_lost(error)


class Connecting:
    """A pending connection: *done* gets the socket, or the error."""

    def __init__(
        self,
        address: tuple[str, int],
        done: Callable[[socket.SocketType | None, OSError | None], None],
        readiness: Readiness,
    ) -> None:
        self._readiness = readiness
        self._done = done
        self._waits = False
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.SocketType(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = self._socket.connect_ex(address)

    def begin(self) -> None:
        """Wait for it, if it is not there already, as on this machine it usually is."""
        if self._number == EINPROGRESS and not self._is_connected():
            self._waits = True
            self._readiness.wait(self._socket.fileno(), self, _WRITE)
        else:
            self._end(0 if self._number == EINPROGRESS else self._number)

    def cancel(self) -> None:
        """Cancel it: *done* is not called."""
        self._done = _nobody
        if self._waits:
            self.ready(0)

    def ready(self, events: int) -> None:
        """Handle its end, whatever the *events* of epoll are."""
        del events
        self._waits = False
        self._readiness.wait(self._socket.fileno(), self, 0)
        self._end(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _is_connected(self) -> bool:
        try:
            self._socket.getpeername()
        except OSError:
            return False
        return True

    def _end(self, number: int) -> None:
        if number or self._done is _nobody:
            self._socket.close()
            self._done(None, OSError(number, os.strerror(number)))
        else:
            self._done(self._socket, None)


class Listener:
    """A listening socket; each connection goes to *accepted*."""

    def __init__(
        self, host: str, port: int, accepted: Callable[[socket.SocketType], None], readiness: Readiness
    ) -> None:
        """Listen on the address.

        Raises:
            OSError: it cannot listen there.
        """
        if not 0 <= port <= MOST_PORTS:  # getaddrinfo would accept it as a different port
            raise OSError(EINVAL, "there is no such port")
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104 - asked for
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        self._accepted = accepted
        self._readiness = readiness
        self._socket = socket.create_server((address[0], address[1]), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self._family = family
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # of its connections, too
        self.port: int = self._socket.getsockname()[1]
        readiness.wait(self._socket.fileno(), self, _READ)

    def close(self) -> None:
        """Stop listening."""
        if self._socket.fileno() >= 0:
            self._readiness.wait(self._socket.fileno(), self, 0)
            self._socket.close()

    def ready(self, events: int) -> None:
        """Accept every connection that waits."""
        del events
        for _ in range(BACKLOG):
            try:
                descriptor, _address = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except OSError as error:
                if error.errno in _EXHAUSTED:  # the next attempt would fail too
                    self._readiness.wait(self._socket.fileno(), self, 0)
                    self._readiness.loop.call_later(PAUSE, self._resume)
                return  # there is no connection left, or a client has already disconnected
            connection = socket.SocketType(self._family, socket.SOCK_STREAM, 0, descriptor)
            connection.setblocking(False)
            self._accepted(connection)
            if self._socket.fileno() < 0:
                return

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._readiness.wait(self._socket.fileno(), self, _READ)


def _nobody(connection: socket.SocketType | None, error: OSError | None) -> None:
    """Ignore the connection."""
