"""Servers as local processes, one interpreter each, on loopback.

The parent opens the listening socket and hands it over: there is no race for a port, concurrent runs do not
disturb each other, and a connection made before the server is up simply waits.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen.client.control import Control, State
from loadgen.client.transport import WireTransport
from loadgen.engine import retrace
from loadgen.engine.log import last_words
from loadgen.engine.process import END_LIMIT, Traced, traced
from loadgen.errors import EngineFault, RecordingFault, ServerFault
from loadgen.runtimes.files import new_database, recorded
from loadgen.runtimes.processes import end_session, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from loadgen.engine.target import Target
    from loadgen.store.run_folder import Manifest, RunFolder

START_LIMIT = 60.0
"""Seconds that a server may take until it is ready."""
BACKLOG = 1024
REFUSAL = "loadgen: this server cannot be recorded: "
"""How a line of the log begins that says so, as in :mod:`loadgen.traced.settings`, which is the server's."""
SERVERS = "loadgen knows Flask's own server (app.run, flask run), waitress, and gunicorn."


class LocalServer:
    """A server process; see :class:`loadgen.runtimes.Server`."""

    def __init__(self, process: Traced, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.wire = WireTransport()
        self.control = Control(self.url, self.wire)
        self.ended = process.ended
        self.obituary = process.obituary
        self._process = process
        self._log = process.log

    async def stop(self) -> None:
        """End it so that its recording is complete: interrupted, the application finishes by itself."""
        self._process.interrupt()
        how = await self._process.obituary(END_LIMIT)
        if how is None:
            raise EngineFault(
                f"the server did not stop within {END_LIMIT:g} s, so its recording is not complete"
            )
        if (self._process.code or 0) < 0:
            raise EngineFault(f"the recorded server crashed: {how}")

    async def ready(self, mode: str) -> None:
        """Wait until the boundary answers: a connection to the handed-over socket waits by itself.

        Raises:
            ServerFault: the server ended, or its application does not serve.
            EngineFault: what answers is not a boundary in *mode*.
        """
        answers = list[State | Exception]()

        async def ask() -> None:
            try:
                answers.append(await self.control.state(START_LIMIT))
            except (httpx.TransportError, EngineFault) as error:
                answers.append(error)
            waiting.cancel_scope.cancel()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(ask)
            await self.ended()  # its children may hold the socket open
            waiting.cancel_scope.cancel()
        match answers:
            case [State() as state] if state.mode == mode:
                return
            case [State() as state]:
                raise EngineFault(f"the server to {mode} is in {state.mode} mode")
            case [EngineFault() as fault]:
                raise fault
        raise await self._not_started(mode)

    async def _not_started(self, mode: str) -> ServerFault:
        """Say why it does not serve: refused, crashed, ended, served by something else, or not at all."""
        how, see = await self.obituary(), f"See {self._log}."
        refusal = next((line for line in reversed(last_words(self._log)) if line.startswith(REFUSAL)), None)
        if refusal is not None:
            return ServerFault(refusal.removeprefix("loadgen: "), advice=see)
        what = f"the server to {mode} did not start"
        if how is not None and self._process.code:
            return ServerFault(f"{what}: it crashed before it served anything: {how}", advice=see)
        if how is not None:
            return ServerFault(f"{what}: it ended without serving anything: {how}", advice=f"{SERVERS} {see}")
        others = [port for port in listening(self._process.pid) if port != self._port]
        if others:
            ports = ", ".join(map(str, others))
            return ServerFault(
                f"{what}: it listens on port {ports} instead, by a server that loadgen does not know",
                advice=f"{SERVERS} {see}",
            )
        return ServerFault(f"{what}: it did not serve within {START_LIMIT:g} s", advice=f"{SERVERS} {see}")


class LocalRuntime:
    """Local processes; see :class:`loadgen.runtimes.Runtime`."""

    name = "local"

    def __init__(self, server_env: Mapping[str, str] | None = None, without: Sequence[str] = ()) -> None:
        """Give the server *server_env* beside its own environment; leave the engine's gaps *without* open."""
        self._server_env = dict(server_env or {})
        self._without = [option for gap in without for option in ("--without", gap)]

    def _options(self, run: RunFolder, manifest: Manifest) -> list[str]:
        here = ("--health-path", manifest.health_path, "--application", manifest.python_path)
        alone = ["--engine-alone"] if manifest.engine_alone else []
        explore: list[str] = []
        if manifest.explore:
            log, users = str(run.schedule.resolve()), manifest.concurrency
            explore = ["--explore", json.dumps({**manifest.explore, "log": log, "users": users})]
        return [*here, "--schedule", manifest.schedule, *explore, *self._without, *alone]

    def database(self) -> str:
        """Name a database in a new folder of its own."""
        return new_database()

    @asynccontextmanager
    async def record(self, target: Target, run: RunFolder, manifest: Manifest) -> AsyncIterator[LocalServer]:
        """Run *target* under the recording engine; its database is gone afterwards."""

        def command(listen: Sequence[str]) -> list[str]:
            options = [*listen, *self._options(run, manifest), "--import-from", target.import_from]
            return retrace.record_command(
                run.recording.resolve(), target.argv, options, stacks=manifest.stacks
            )

        manifest.server_env = sorted(self._server_env)
        environment = retrace.environment(
            {"DB_FILE": manifest.database, **self._server_env}, engine_alone=manifest.engine_alone
        )
        with recorded(run.recording, manifest.database):
            async with _serve(command, environment, run.log, manifest.cwd) as server:
                await server.ready("record")
                yield server

    @asynccontextmanager
    async def replay(self, run: RunFolder, manifest: Manifest, log: Path) -> AsyncIterator[LocalServer]:
        """Run the recording in a fresh process that has no database."""
        database = Path(manifest.database)
        if database.exists():
            raise RecordingFault(
                f"the recorded server's database {database} still exists, so a replay could read it",
                advice="Delete it, or record again.",
            )

        def command(listen: Sequence[str]) -> list[str]:
            return retrace.replay_command(run.recording.resolve(), [*listen, *self._options(run, manifest)])

        environment = retrace.recorded_start(run.recording).environment
        async with _serve(command, environment, log, manifest.cwd) as server:
            await server.ready("replay")
            yield server


@asynccontextmanager
async def _serve(
    command: Callable[[Sequence[str]], list[str]], environment: Mapping[str, str], log: Path, cwd: str
) -> AsyncIterator[LocalServer]:
    """Run a server process on a new loopback socket; *command* is given the options that hand it over."""
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
        port, descriptor = listener.getsockname()[1], listener.fileno()

        def handed_over(lifeline: Sequence[str]) -> list[str]:
            return command(("--socket-fd", str(descriptor), *lifeline))

        process_of = traced(handed_over, environment, log, cwd, tells=False, inherited=(descriptor,))
        async with process_of as process:
            held.close()  # it is the server's now: nobody waits for a server that is gone
            server = LocalServer(process, port)
            try:
                yield server
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(END_LIMIT):
                    await server.wire.aclose()
                    await process.end()
                end_session(process.pid)
