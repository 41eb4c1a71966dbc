"""Record: send requests to a server under the engine, and store everything in a run folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
from msgspec.structs import replace

from loadgen.client.plan import decided, expected, named, plan
from loadgen.core import schedules
from loadgen.core.events import Note, Stage
from loadgen.core.transcript import Run
from loadgen.engine import retrace
from loadgen.engine.machine import check_room
from loadgen.engine.target import resolve
from loadgen.errors import Interrupted, LoadgenError, RecordingFault, ServerEnded, ServerFault, UsageError
from loadgen.modes.base import Session
from loadgen.modes.figures import sampled
from loadgen.modes.totals import totals
from loadgen.store.code_digests import changed, client_sources, sources
from loadgen.store.journal import Journal
from loadgen.store.manifest import Manifest, Result, Started, State, Totals
from loadgen.store.run_folder import RunFolder
from loadgen.store.sealing import Sealing
from loadgen.store.surroundings import data_files, packages

if TYPE_CHECKING:
    from loadgen.client.plan import Plan
    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.spec import RunSpec
    from loadgen.core.stop import Stop
    from loadgen.modes.base import Mode, RecordedServer, Served

_SCRIPT = "Give the schedule.jsonl of a run that was recorded with --schedule explore."


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished recording."""

    run: RunFolder
    manifest: Manifest
    end: SessionEnd

    @property
    def totals(self) -> Totals:
        """The figures of the session."""
        assert self.manifest.result.totals is not None
        return self.manifest.result.totals


def begin(
    spec: RunSpec,
    folder: Path | None,
    emit: Emit,
    *,
    scenario: Plan | None = None,
    elsewhere: bool = False,
) -> Session:
    """Resolve everything that *spec* names, and create the run folder: *folder*, or one under ``runs/``.

    A *scenario* made by a program replaces the one that *spec* names. If the server runs *elsewhere*, in a
    container, its requirements are not looked up.

    Raises:
        UsageError: the specification names something that does not exist, or cannot be recorded.
        MachineFault: the engine is missing, or there is no room for so many users.
    """
    retrace.chosen(spec.server_env)  # invalid variables are refused before anything is created
    target = resolve(spec.target, spec.cwd, python=spec.python, elsewhere=elsewhere)
    versions = {} if elsewhere else retrace.versions(target.python)
    if not target.python.own:
        emit(Note(line=f"the server runs in {target.python.name}"))
    if scenario is None:
        spec, more = named(spec)
        scenario, notes = plan(spec.traffic)
        for note in (*more, *notes):
            emit(Note(line=note))
    elif spec.load.client_processes > 1:
        raise UsageError(
            "a scenario that is given as an object runs in one process: not with client_processes"
        )
    if spec.explore.script is not None:
        _check_script(spec.explore.script)
    spec = replace(decided(spec, scenario), python=None if target.python.own else target.python.executable)
    if not elsewhere:
        check_room(len(spec.load.users))
    client = scenario.file
    if spec.traces_program and not elsewhere:
        from loadgen.modes.program import script_of  # noqa: PLC0415 - most sessions do without

        client = script_of(spec)
    sealing = Sealing(spec) if spec.secrets.wanted else None
    now = datetime.now(UTC)
    how = f"c{len(spec.load.users)}-s{spec.load.seed}" if spec.load.concurrency else scenario.name
    run = RunFolder.create(folder, f"{now:%Y%m%d-%H%M%S}-{how}")
    manifest = Manifest(
        id=run.path.name,
        created=now.isoformat(timespec="seconds"),
        command=("loadgen", *sys.argv[1:]),
        spec=spec.public,
        sources=sources(target),
        data_files={} if elsewhere else data_files(target),
        packages={} if elsewhere else packages(target.python),
        client_sources=client_sources(client),
        result=Result(
            versions=versions, started=Started(argv=target.argv, folder=target.folder, cwd=target.cwd)
        ),
    )
    if sealing is None:
        run.save(manifest)
        return Session(spec, target, scenario, run, manifest)
    sealing.begin(run, manifest)
    return Session(spec, target, scenario, sealing.working, manifest, sealing)


def _check_script(path: str) -> None:
    """Refuse a file that holds no schedule: the server, which reads it, would be blamed."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
        schedules.users(lines)
        schedules.parse(lines)
    except OSError as error:
        raise UsageError(f"--script: cannot read {path}: {error.strerror}", advice=_SCRIPT) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"--script: {path} is not a schedule: {error}", advice=_SCRIPT) from error


async def record(
    spec: RunSpec,
    mode: Mode,
    folder: Path | None,
    stop: Stop,
    emit: Emit,
    *,
    scenario: Plan | None = None,
) -> Recorded:
    """Record a session; setting *stop* ends it early, and keeps what was recorded so far.

    A *scenario* made by a program replaces the one that *spec* names.

    Raises:
        LoadgenError: the run folder then has the state ``failed``, and keeps its content.
    """
    session = begin(spec, folder, emit, scenario=scenario)
    run, manifest = session.run, session.manifest
    result = manifest.result
    try:
        with Journal(run.transcript, run.bodies) as journal:
            load = session.spec.load
            journal.write(
                Run(
                    manifest.id,
                    session.scenario.name,
                    load.seed,
                    len(load.users),
                    load.iterations or 0,
                    manifest.created,
                )
            )
            end = await _session(session, mode, journal, stop, emit)
        result.files = run.digests()
        for path in changed(manifest.data_files) or ():  # the server's own output
            del manifest.data_files[path]
        result.state = State.COMPLETE
    except BaseException as error:
        result.state = State.FAILED
        cancelled = isinstance(error, anyio.get_cancelled_exc_class() | KeyboardInterrupt)
        result.error = "it was interrupted" if cancelled else str(error) or type(error).__name__
        raise
    finally:
        if session.sealing is None:
            run.save(manifest)
        else:
            manifest, run = session.sealing.close(manifest), session.sealing.home
    if folder is None:
        run.make_latest()
    return Recorded(run, manifest, end)


async def _session(session: Session, mode: Mode, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
    run, result = session.run, session.manifest.result
    emit(Stage(what=f"starting {session.target.name} under the engine"))
    async with mode.record(session) as server:
        run.save(session.manifest)  # the manifest now contains how the server was started
        emit(Stage(what="recording"))
        end = await _fire(session, mode, server, journal, stop, emit)
        result.totals = totals(journal, end, session.spec.load)
        session.manifest.spec = as_visited(session.manifest.spec, end)
        served = await _served(server, run, journal)
        result.database_used = served.database
        result.modules = served.modules
        result.on_loop = served.on_loop
        journal.end(served.order, journal.requests)
        emit(Stage(what="finishing the recording"))
        await server.stop()
    # Unfinished requests, for example of a client that stopped waiting, have no end on the tape.
    ended = sum(step < 0 for step in served.order)
    if (finished := retrace.finished(run.recording)) < ended:
        raise RecordingFault(
            f"the recording contains {finished} of the {ended} requests that were served: the "
            "engine did not write all of it",
            advice="Check free disk space and limits on file sizes.",
        )
    if not journal.requests and stop.requested:
        raise Interrupted("interrupted before the first request: nothing was recorded")
    if not journal.requests:
        left = None if end.visit is None else end.visit.exit_code
        told = f"Its output is in {run.client_log}. It finds the server in $LOADGEN_URL, or as {{url}}."
        raise ServerFault(nothing_recorded(end), advice="" if left is None else told)
    return end


def as_visited(spec: RunSpec, end: SessionEnd) -> RunSpec:
    """Return *spec* with the concurrency that the clients of the gateway decided, if there were any."""
    if end.visit is None:
        return spec
    return replace(spec, load=replace(spec.load, concurrency=max(1, end.visit.most_open)))


async def _fire(
    session: Session, mode: Mode, server: RecordedServer, journal: Journal, stop: Stop, emit: Emit
) -> SessionEnd:
    """Send the session's requests; if the server exits, the session ends."""
    load = session.spec.load
    until = None if load.shape.duration is None else journal.elapsed + load.shape.duration

    async def stop_with_server() -> None:
        await server.ended()
        stop.requested = True

    failed: LoadgenError | None = None
    async with anyio.create_task_group() as watching:
        watching.start_soon(stop_with_server)
        try:
            async with sampled(journal, emit, total=expected(load, session.scenario), until=until):
                end = await mode.fire(session, server.url, journal, stop, emit)
        except LoadgenError as error:  # kept outside the task group, which would wrap it
            failed = error
        watching.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return end


async def _served(server: RecordedServer, run: RunFolder, journal: Journal) -> Served:
    try:
        return await server.served()
    except httpx.TransportError as error:
        how = await server.exit_report() or f"{type(error).__name__}: {error}"
        raise ServerEnded(
            f"the recorded server ended after {journal.requests:,} "
            f"request{'' if journal.requests == 1 else 's'}: {how}",
            advice=f"See {run.log}. The transcript so far is kept.",
        ) from error


def nothing_recorded(end: SessionEnd) -> str:
    """Return why there is no request."""
    if end.visit is None:
        failed = "".join(f"; {count} x {what}" for what, count in end.errors.items())
        return f"nothing was recorded: the scenario issued no request{failed}"
    refused = "".join(f"; {count} refused: {why}" for why, count in end.visit.refused.items())
    code = "" if end.visit.exit_code is None else f" and ended with exit code {end.visit.exit_code}"
    return f"nothing was recorded: the client sent no request{code}{refused}"
