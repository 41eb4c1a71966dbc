"""The gateway itself: its port, its connections, and its counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadgen.client.gateway.admission import Admission
from loadgen.client.gateway.connection import ClientConnection
from loadgen.client.gateway.sockets import Listener, Readiness
from loadgen.client.gateway.users import UserBy, Users
from loadgen.core.address import reached_at
from loadgen.errors import UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Collection

    from loadgen.client.recording import Recorder
    from loadgen.core.exchange import Failure, Headers, Request, Response
    from loadgen.core.http1 import Refused, RequestHead

LOOK_EVERY = 0.05
"""Seconds between two checks for ended requests."""
GRACE = 2.0
"""Seconds that a stream, which may be endless, gets when the recording ends."""
LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


class Gateway:
    """Passes requests on to the server at *url*, and journals them and their answers."""

    def __init__(
        self,
        url: str,
        journal: Recorder,
        *,
        timeout: float,
        by: UserBy | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        there = urlsplit(url)
        assert there.hostname is not None
        assert there.port is not None
        self.server = (there.hostname, there.port)
        self.readiness: Readiness
        self._journal = journal
        self._timeout = timeout
        self._users = Users(by)
        self._admission = Admission(hosts)
        self._connections: set[ClientConnection] = set()
        self._open: set[ClientConnection] = set()
        self._failed: Exception | None = None
        self._stopping = False
        self.requests = 0
        """The number of the last request."""
        self.connections = 0
        """Number of connections that sent a request."""
        self.most_open = 0
        """Largest number of requests that were open at once."""
        self.refusals: Counter[str] = Counter()
        """Refused requests, by status and reason; they have no number."""
        self.departures: Counter[str] = Counter()
        """Clients that disconnected early, by when they did."""

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Listen, and yield the URL under which clients on this machine reach the gateway.

        Raises:
            UsageError: it cannot listen on the address.
        """
        loop = asyncio.get_running_loop()
        self.readiness = Readiness()
        try:
            listener = Listener(host, port, self._accept, self.readiness)
        except (OSError, OverflowError, UnicodeError) as error:
            self.readiness.close()
            raise UsageError(
                f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                advice="Give another address: --listen HOST:PORT. Port 0 means any free port.",
            ) from error
        number = listener.port
        for name in (*LOCAL, host):
            self._admission.add(f"[{name}]:{number}" if ":" in name else f"{name}:{number}")
        watching = loop.create_task(self._watch_silence())
        try:
            yield f"http://{reached_at(host)}:{number}"
        finally:
            listener.close()
            watching.cancel()
            for one in tuple(self._open):
                one.stop()
            for one in tuple(self._connections):
                one.stream.abort()
            self.readiness.close()

    @property
    def stopping(self) -> bool:
        """See :class:`loadgen.client.gateway.connection.Owner`."""
        return self._stopping

    def check(self) -> None:
        """Raise the error that ended the recording: the journal cannot be written."""
        if self._failed is not None:
            raise self._failed

    async def finish(self) -> None:
        """Accept no more requests, and wait for the answers to the open ones."""
        self._stopping = True
        for one in tuple(self._connections):
            one.close_if_idle()
        began = monotonic()
        while self._open:
            self.check()
            waited = monotonic() - began
            for one in tuple(self._open):
                is_stream = one.exchange is not None and one.exchange.started
                if waited > (GRACE if is_stream else self._timeout):
                    one.stop()
            await asyncio.sleep(LOOK_EVERY)
        self.check()

    async def _watch_silence(self) -> None:
        """Give up answers of which nothing arrives."""
        while True:
            await asyncio.sleep(min(1.0, self._timeout / 4))
            late = monotonic() - self._timeout
            for one in tuple(self._open):
                if one.exchange is not None and one.exchange.heard < late and not one.is_slow:
                    one.silent(self._timeout)

    # ---- interface for connections -------------------------------------------------------------------------

    def _accept(self, connection: socket.SocketType) -> None:
        self._connections.add(ClientConnection(connection, self))

    def closing(self, one: ClientConnection) -> None:
        """Note that the connection is about to end: its lane is free before its client notices."""
        if one.lane is not None:
            self._users.leave(one.lane)
            one.lane = None

    def closed(self, one: ClientConnection) -> None:
        """Note that the connection has ended."""
        self.closing(one)
        self._connections.discard(one)

    def admit(self, head: RequestHead) -> str:
        """Return the target under which the server gets a request; or raise Refused."""
        return self._admission.target(head)

    def issue(
        self, one: ClientConnection, head: RequestHead, target: str, headers: Headers, body: bytes
    ) -> Request | None:
        """Number and journal a request; None: this failed, and the recording is over."""
        if one.lane is None:
            one.lane = self._users.enter()
            self.connections += 1
        if self._failed is not None:
            return None
        user = self._users.of(one.lane, headers)
        try:
            request = self._journal.issue(user, head.method, target, headers, body)
        except Exception as error:  # noqa: BLE001 - raised by check: here it would end in the event loop's log
            self._failed = error
            return None
        self.requests = request.seq
        self._open.add(one)
        self.most_open = max(self.most_open, len(self._open))
        return request

    def complete(self, one: ClientConnection, outcome: Response | Failure) -> None:
        """Journal how a request ended."""
        self._open.discard(one)
        if self._failed is not None:
            return
        try:
            self._journal.complete(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed = error

    def refused(self, why: Refused) -> None:
        """Count a refused request."""
        self.refusals[f"{why.status} {why.why}"] += 1

    def left(self, when: str) -> None:
        """Count a client that disconnected early."""
        self.departures[when] += 1
