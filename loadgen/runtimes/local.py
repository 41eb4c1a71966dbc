"""Servers as local processes, one interpreter each, on loopback.

The parent opens the listening socket and hands it over: there is no race for a port, concurrent runs do not
disturb each other, and a connection made before the server is up simply waits. A pipe that only we hold
tells the server when we are gone, so that even ``kill -9`` leaves no orphan.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen.client.control import Control, State
from loadgen.client.wire import WireTransport
from loadgen.engine import retrace
from loadgen.engine.log import last_words
from loadgen.errors import EngineFault, RecordingFault, ServerFault
from loadgen.runtimes.processes import end_session, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from loadgen.run_folder import Manifest, RunFolder
    from loadgen.target import Target

START_LIMIT = 60.0
"""Seconds that a server may take until it is ready."""
STOP_LIMIT = 20.0
"""Seconds that a server may take to finish its recording."""
DYING = 1.0
"""Seconds from a server's last sign of life to its end, as the operating system tells it."""
BACKLOG = 1024
REFUSAL = "loadgen: this server cannot be recorded: "
"""How a line of the log begins that says so, as in :mod:`loadgen.traced.settings`, which is the server's."""
SERVERS = "loadgen knows Flask's own server (app.run, flask run), waitress, and gunicorn."


class LocalServer:
    """A server process; see :class:`loadgen.runtimes.Server`."""

    def __init__(self, process: anyio.abc.Process, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.wire = WireTransport()
        self.control = Control(self.url, self.wire)
        self._process = process
        self._log = log

    async def stop(self) -> None:
        """End it so that its recording is complete: interrupted, the application finishes by itself."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            with anyio.move_on_after(STOP_LIMIT):
                await self._process.wait()
        if self._process.returncode is None:
            raise EngineFault(
                f"the server did not stop within {STOP_LIMIT:g} s, so its recording is not complete"
            )
        if self._process.returncode < 0:
            raise EngineFault(f"the recorded server crashed: {await self.obituary()}")

    async def ended(self) -> None:
        """Wait until it has ended, by itself or otherwise."""
        await self._process.wait()

    async def obituary(self) -> str | None:
        """Say how it ended, and its last words; nothing while it runs."""
        with anyio.move_on_after(DYING):
            await self._process.wait()
        code = self._process.returncode
        if code is None:
            return None
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return "\n  ".join((how, *last_words(self._log)))

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
        if how is not None and self._process.returncode:
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

    async def end(self) -> None:
        """End the process if it still runs, at once, with what it started, and close our connections."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_LIMIT):
            await self.wire.aclose()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
        end_session(self._process.pid)


class LocalRuntime:
    """Local processes; see :class:`loadgen.runtimes.Runtime`."""

    name = "local"

    def __init__(self, server_env: Mapping[str, str] | None = None, without: Sequence[str] = ()) -> None:
        """Give the server *server_env* beside its own environment; leave the engine's gaps *without* open."""
        self._server_env = dict(server_env or {})
        self._without = [option for gap in without for option in ("--without", gap)]

    def _options(self, manifest: Manifest) -> list[str]:
        here = ("--health-path", manifest.health_path, "--application", manifest.python_path)
        alone = ["--engine-alone"] if manifest.engine_alone else []
        return [*here, "--schedule", manifest.schedule, *self._without, *alone]

    def database(self) -> str:
        """Name a database in a new folder of its own."""
        return str(Path(tempfile.mkdtemp(prefix="loadgen-")) / "app.db")

    @asynccontextmanager
    async def record(self, target: Target, run: RunFolder, manifest: Manifest) -> AsyncIterator[LocalServer]:
        """Run *target* under the recording engine; its database is gone afterwards."""
        # The recording holds the server's environment and data: it is for its owner's eyes only.
        os.close(os.open(run.recording, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

        def command(listen: Sequence[str]) -> list[str]:
            options = [*listen, *self._options(manifest), "--import-from", target.import_from]
            return retrace.record_command(
                run.recording.resolve(), target.argv, options, stacks=manifest.stacks
            )

        manifest.server_env = sorted(self._server_env)
        environment = retrace.environment(
            {"DB_FILE": manifest.database, **self._server_env}, engine_alone=manifest.engine_alone
        )
        try:
            async with _serve(command, environment, run.log, manifest.cwd) as server:
                await server.ready("record")
                yield server
        finally:
            shutil.rmtree(Path(manifest.database).parent, ignore_errors=True)

    @asynccontextmanager
    async def replay(self, run: RunFolder, manifest: Manifest, log: Path) -> AsyncIterator[LocalServer]:
        """Run the recording in a fresh process that has no database."""
        database = Path(manifest.database)
        if database.exists():
            raise RecordingFault(
                f"the recorded server's database {database} still exists, so a replay could read it",
                advice="Delete it, or record again.",
            )
        if manifest.cwd and not Path(manifest.cwd).is_dir():
            raise RecordingFault(
                f"the directory that the server was started in is gone: {manifest.cwd}",
                advice="Make it again, or record again.",
            )

        def command(listen: Sequence[str]) -> list[str]:
            return retrace.replay_command(run.recording.resolve(), [*listen, *self._options(manifest)])

        environment = retrace.recorded_start(run.recording).environment
        async with _serve(command, environment, log, manifest.cwd) as server:
            await server.ready("replay")
            yield server


@asynccontextmanager
async def _serve(
    command: Callable[[Sequence[str]], list[str]], environment: Mapping[str, str], log: Path, cwd: str
) -> AsyncIterator[LocalServer]:
    """Run a server process on a new loopback socket; *command* is given the options that hand it over."""
    lifeline, held = os.pipe()
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener, log.open("ab") as output:
            port = listener.getsockname()[1]
            listen = ("--socket-fd", str(listener.fileno()), "--lifeline-fd", str(lifeline))
            process = await anyio.open_process(
                command(listen),
                cwd=cwd or None,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle, not the server's
                pass_fds=(listener.fileno(), lifeline),
            )
        server = LocalServer(process, port, log)
        try:
            yield server
        finally:
            await server.end()
    finally:
        os.close(lifeline)
        os.close(held)
