"""A server that runs in another container, and is driven over the network.

:mod:`loadgen.containers.serve` starts the server. The liveness connection (see
:mod:`loadgen.traced.liveness`) lets each side notice the end of the other. It is a bare descriptor that only
the end of this process closes, because the server's container must not be the first of the two to exit.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx
from anyio import to_thread

from loadgen.client.control import Control
from loadgen.client.transport import WireTransport
from loadgen.containers import layout
from loadgen.core.address import is_loopback
from loadgen.errors import EngineFault, ServerFault, UsageError
from loadgen.modes.base import START_LIMIT, Served
from loadgen.modes.listening import SETTLING, told_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadgen.core.classification import Row
    from loadgen.core.relocation import Relocation
    from loadgen.modes.base import Session
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

STOP_LIMIT = 20.0
"""Seconds that a server may take to finish its recording."""
DYING = 1.0
"""Seconds from a server's last answer to the end of its liveness connection."""
STOP, COMPLETE, RELEASE = b"s", b".", b"r"
"""Messages on the liveness connection, as in :mod:`loadgen.traced.liveness`, which belongs to the server."""
CONNECT_LIMIT = 5.0
RETRY = 0.05
SEE_LOG = "See the log of its container."


class LivenessPipe:
    """The liveness connection to a server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._hold = connection.dup().detach()

    async def ended(self) -> None:
        """Wait until the server has exited without a request to stop."""
        await anyio.wait_readable(self._connection)

    async def has_ended(self, within: float) -> bool:
        """Return whether the server has exited; wait at most *within* seconds for that."""
        with anyio.move_on_after(within):
            await self.ended()
            return True
        return False

    def release(self) -> None:
        """Tell the server that all clients have ended, so that it does not wait for open requests."""
        with suppress(OSError):  # it is gone
            self._connection.sendall(RELEASE)

    async def stop(self) -> bool:
        """Ask the server to stop, and return whether it completed its recording."""
        try:
            self._connection.sendall(STOP)
            return await self.has_ended(STOP_LIMIT) and self._connection.recv(1) == COMPLETE
        except OSError:
            return False


class AttachedServer:
    """A server in another container; see :class:`loadgen.modes.base.BoundaryServer`."""

    def __init__(self, address: str, liveness: LivenessPipe) -> None:
        self.url = f"http://{address}"
        self.transport = WireTransport(reuse=False)
        self.control = Control(self.url, self.transport)
        self._liveness = liveness

    async def served(self) -> Served:
        """Ask the boundary what the server did, after all clients have ended."""
        self._liveness.release()
        return Served(await self.control.order(), (await self.control.state()).database)

    async def stop(self) -> None:
        """Stop the server so that its recording is complete."""
        if not await self._liveness.stop():
            raise EngineFault("the recorded server crashed, or did not finish its recording", advice=SEE_LOG)

    async def ended(self) -> None:
        """Wait until the server has exited, for whatever reason."""
        await self._liveness.ended()

    async def exit_report(self) -> str | None:
        """Return that the server exited; only the host knows how."""
        return "it ended" if await self._liveness.has_ended(DYING) else None

    async def ready(self, mode: str) -> None:
        """Wait until the boundary answers.

        Raises:
            ServerFault: the server exited, or its application does not serve.
            EngineFault: the answer is not from a boundary in *mode*.
        """
        why = f"it did not serve within {START_LIMIT:g} s"
        with anyio.move_on_after(START_LIMIT):
            while not await self._liveness.has_ended(RETRY):
                try:
                    state = await self.control.state(START_LIMIT)
                except httpx.TransportError:
                    continue
                if state.mode != mode:
                    raise EngineFault(f"the server to {mode} is in {state.mode} mode")
                return
            why = "it exited"
        raise ServerFault(f"the server to {mode} did not start: {why}", advice=SEE_LOG)


class AttachedProcess(AttachedServer):
    """A server without a boundary in another container; see :class:`loadgen.modes.base.RecordedServer`."""

    async def listens(self) -> None:
        """Wait until it reports where it listens; no connection of ours shows that.

        Raises:
            ServerFault: it exited, does not listen, or does so where no other container can reach it.
        """
        host, port = await self._address()
        if is_loopback(host):
            raise ServerFault(
                f"the server to record listens on {host}:{port}, where no other container can reach it",
                advice="Let it listen on 0.0.0.0.",
            )
        self.url = f"http://{urlsplit(self.url).hostname}:{port}"

    async def _address(self) -> tuple[str, int]:
        why = f"it did not listen within {START_LIMIT:g} s"
        tap = Path(layout.TAP)
        with anyio.move_on_after(START_LIMIT):
            while not await self._liveness.has_ended(RETRY):
                lines = tap.read_bytes().splitlines(keepends=True) if tap.exists() else []
                for line in lines:
                    if line.endswith(b"\n") and (found := told_address(line)):
                        return found
            why = "it exited"
        raise ServerFault(f"the server to record did not start: {why}", advice=SEE_LOG)

    async def served(self) -> Served:
        """Return that nothing can be seen from outside."""
        return Served([], database=False)

    async def stop(self) -> None:
        """Stop the server so that its recording is complete."""
        await anyio.sleep(SETTLING)
        await super().stop()


class AttachedHost:
    """A running server at an address; see :class:`loadgen.modes.base.Host`."""

    aligns = reaches = False

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        if not self._host or not port.isdigit():
            raise UsageError(f"{address!r} is not an address", advice="Give HOST:PORT.")
        self._port = int(port)

    @asynccontextmanager
    async def record(self, session: Session) -> AsyncIterator[AttachedServer]:
        """Attach to the recorded server, and move its recording into the run when it is complete."""
        session.manifest.result.started.database = layout.DATABASE
        async with self._attached("record") as server:
            yield server
        Path(layout.TAPE).rename(session.run.recording)

    @asynccontextmanager
    async def listening(self, session: Session) -> AsyncIterator[AttachedServer]:
        """Attach to a recorded server that is traced as a whole, and move its recording into the run."""
        started = session.manifest.result.started
        started.database, started.bind = layout.DATABASE, layout.LISTENING_AT
        address, liveness = await self._connected()
        server = AttachedProcess(address, liveness)
        try:
            await server.listens()
            yield server
        finally:
            with anyio.CancelScope(shield=True):
                await server.transport.aclose()
        Path(layout.TAPE).rename(session.run.recording)

    @asynccontextmanager
    async def replay(
        self,
        run: RunFolder,
        manifest: Manifest,
        log: Path,
        moved: Relocation,
        *,
        align: tuple[Row, ...] = (),
    ) -> AsyncIterator[AttachedServer]:
        """Attach to the replayed server."""
        del run, manifest, log, moved, align  # the process that started the server has them
        async with self._attached("replay") as server:
            yield server

    @asynccontextmanager
    async def _attached(self, mode: str) -> AsyncIterator[AttachedServer]:
        server = await self._attach(mode)
        try:
            yield server
        finally:
            with anyio.CancelScope(shield=True):
                await server.transport.aclose()

    async def _attach(self, mode: str) -> AttachedServer:
        """Connect to the server, and wait until it is ready."""
        server = AttachedServer(*await self._connected())
        await server.ready(mode)
        return server

    async def _connected(self) -> tuple[str, LivenessPipe]:
        """Connect to the server's liveness port; return the address of the server, too."""
        connection = None
        with anyio.move_on_after(START_LIMIT):
            while connection is None:
                connection = await to_thread.run_sync(self._connect)
                if connection is None:
                    await anyio.sleep(RETRY)
        if connection is None:
            raise ServerFault(
                f"no answer from {self._host}:{self._liveness_port} within {START_LIMIT:g} s",
                advice=SEE_LOG,
            )
        # The name is resolved once: resolving it for each connection would use threads, which reorder
        # connections.
        address = f"{connection.getpeername()[0]}:{self._port}"
        return address, LivenessPipe(connection)

    @property
    def _liveness_port(self) -> int:
        return self._port + layout.LIVENESS_PORT - layout.HTTP_PORT

    def _connect(self) -> socket.socket | None:
        try:
            return socket.create_connection((self._host, self._liveness_port), timeout=CONNECT_LIMIT)
        except OSError:
            return None
