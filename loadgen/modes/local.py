"""A host: this machine. Servers are local processes, one interpreter each, on loopback.

The parent opens the listening socket and passes it to the server. So there is no race for a port, concurrent
runs do not conflict, and a connection made before the server is up simply waits.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec import to_builtins

from loadgen.core.spec import BUNDLED, Schedule
from loadgen.engine import folders, interpreter, retrace
from loadgen.engine.scratch import new_database, recorded
from loadgen.engine.target import packages
from loadgen.engine.traced_process import END_LIMIT, traced
from loadgen.errors import RecordingFault
from loadgen.modes.base import ALIGNMENT
from loadgen.modes.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from loadgen.core.classification import Row
    from loadgen.core.debug_plan import DebugPlan
    from loadgen.core.relocation import Relocation
    from loadgen.core.spec import RunSpec
    from loadgen.engine.interpreter import Interpreter
    from loadgen.modes.base import RecordedServer, Session
    from loadgen.modes.local_server import LocalServer
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

BACKLOG = 1024
"""Length of the queue of pending connections."""


class LocalHost:
    """Local processes; see :class:`loadgen.modes.base.Host`."""

    aligns = True

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        debug: tuple[DebugPlan, int] | None = None,
        *,
        reaches: bool = False,
    ) -> None:
        """Give recorded servers *environment* in addition to their usual variables.

        *debug* replays with this plan; its second part is the descriptor of the socket to the terminal. With
        *reaches*, replays collect what they reach.
        """
        self._environment = dict(environment or {})
        self._debug = debug
        self.reaches = reaches

    def listening(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the session's server as a process that is traced as a whole; its database is deleted, too."""
        return listening(session)

    @asynccontextmanager
    async def record(self, session: Session) -> AsyncIterator[LocalServer]:
        """Run the session's server under the recording engine; its database is deleted afterwards."""
        spec, run, target = session.spec, session.run, session.target
        started = session.manifest.result.started
        started.database = new_database()
        started.directory = str(Path.cwd())
        started.checkout = folders.checkout(target, Path.cwd())
        started.folders, started.interpreter = folders.installed(target.python), dict(target.python.paths)

        def command(listen: Sequence[str]) -> list[str]:
            options = [*listen, *_options(spec, target.folder, target.argv)]
            options += ["--import-from", target.import_from]
            users = len(spec.load.users) or session.scenario.concurrency
            options += exploration(spec, run.schedule.resolve(), started.code, users)
            return retrace.record_command(
                run.recording.resolve(), target.argv, options, stacks=spec.stacks, server=target.python
            )

        given = {**retrace.chosen(spec.server_env), **self._environment}
        environment = retrace.environment(
            {"DB_FILE": started.database, **given}, engine_alone=spec.engine_alone
        )
        with recorded(run.recording, started.database):
            async with _serve(command, environment, run.log, started.cwd, target.python) as server:
                await server.ready("record")
                yield server

    @asynccontextmanager
    async def replay(
        self,
        run: RunFolder,
        manifest: Manifest,
        log: Path,
        moved: Relocation,
        *,
        align: tuple[Row, ...] = (),
    ) -> AsyncIterator[LocalServer]:
        """Run the recording in a fresh process without database."""
        started = manifest.result.started
        python = interpreter.at(moved.python)
        if Path(started.database).exists():
            raise RecordingFault(
                f"the recorded server's database {started.database} still exists, so a replay could read it",
                advice="Delete it, or record again.",
            )

        def command(listen: Sequence[str]) -> list[str]:
            options = [*listen, *_options(manifest.spec, started.folder, started.argv)]
            if align:
                report = log.with_name(ALIGNMENT).resolve()
                options += ["--aligned", json.dumps(align), "--alignment", str(report)]
            if moved.pairs:
                # Files written there belong to this replay.
                own = [(folder, folder) for folder in (str(run.path.resolve()), str(log.parent.resolve()))]
                options += ["--moved", json.dumps([*moved.pairs, *own])]
            if started.interpreter != python.paths:  # be it called by another name, as python3 is
                options += ["--interpreter", json.dumps(started.interpreter)]
            options += exploration(manifest.spec, run.schedule.resolve(), started.code)
            if self.reaches:
                options += ["--reach", json.dumps(packages(started.argv))]
            if self._debug is not None:
                plan, descriptor = self._debug
                more = {"descriptor": descriptor, "packages": sorted(packages(started.argv))}
                options += ["--debug", json.dumps({**to_builtins(plan), **more})]
            demo = BUNDLED in started.argv
            return retrace.replay_command(run.recording.resolve(), options, server=python, demo=demo)

        environment = retrace.recorded_start(run.recording).environment
        inherited = () if self._debug is None else (self._debug[1],)
        async with _serve(command, environment, log, moved.here(started.cwd), python, inherited) as server:
            await server.ready("replay")
            yield server


def _options(spec: RunSpec, folder: str, argv: Sequence[str]) -> list[str]:
    """Return the boundary's options, the same for record and replay."""
    options = ["--health-path", spec.health_path, "--application", folder, "--schedule", spec.threads]
    options += [word for package in packages(argv) if folder for word in ("--package", package)]
    options += [word for gap in spec.without for word in ("--without", gap)]
    return [*options, *(("--engine-alone",) if spec.engine_alone else ())]


def exploration(spec: RunSpec, log: Path, code: str, users: int = 1) -> list[str]:
    """Return the boundary's option with the settings of ``explore``; see :mod:`loadgen.traced.explore`."""
    if spec.threads is not Schedule.EXPLORE:
        return []
    how = spec.explore
    said = {
        "strategy": how.strategy if how.script is None else "script",
        "seed": how.schedule_seed,
        "points": how.points,
        "code": code,
        "log": str(log),
        "users": users,
        "script": how.script and str(Path(how.script).resolve()),
        "measured": how.measured,
        "trace": how.trace,
    }
    return ["--explore", json.dumps(said)]


@asynccontextmanager
async def _serve(
    command: Callable[[Sequence[str]], list[str]],
    environment: Mapping[str, str],
    log: Path,
    cwd: str,
    python: Interpreter,
    inherited: tuple[int, ...] = (),
) -> AsyncIterator[LocalServer]:
    """Run a server process on a new loopback socket; *command* receives the options that pass the socket."""
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
        port, descriptor = listener.getsockname()[1], listener.fileno()

        def handed_over(liveness: Sequence[str]) -> list[str]:
            return command(("--socket-fd", str(descriptor), *liveness))

        inherited = (descriptor, *inherited)
        process_of = traced(handed_over, environment, log, cwd, events=False, inherited=inherited)
        async with process_of as process:
            held.close()  # only the server holds the socket now: clients do not wait for an exited one
            from loadgen.modes.local_server import LocalServer  # noqa: PLC0415 - imported while it starts

            server = LocalServer(process, port, python)
            try:
                yield server
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(END_LIMIT):
                    await server.transport.aclose()
                    await process.end()
