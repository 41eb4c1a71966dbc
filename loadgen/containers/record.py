"""Recording in containers: the host starts them, forwards the events, and copies the run out.

The resulting run folder has the same content as that of a local run.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from msgspec.structs import replace

from loadgen.containers import carry, exits, layout
from loadgen.containers.daemon import Daemon
from loadgen.containers.driver_events import DriverEvents
from loadgen.containers.group import ContainerGroup
from loadgen.containers.image import DEFAULT_BASE, Recipe, ensure, present
from loadgen.core.events import Stage
from loadgen.core.jobs import Drive, Serve
from loadgen.core.spec import RecordTopology, to_json
from loadgen.engine.retrace import chosen
from loadgen.errors import Interrupted, RecordingFault, UsageError
from loadgen.record import Recorded, as_visited, begin
from loadgen.store.manifest import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadgen.containers.group import ContainerExits
    from loadgen.core.events import Emit
    from loadgen.core.spec import RunSpec
    from loadgen.core.stop import Stop
    from loadgen.engine.target import Target
    from loadgen.modes.base import Session

COLLECT_LIMIT = 60.0
"""Time limit for copying the logs and the run."""


async def record(spec: RunSpec, folder: Path | None, stop: Stop, emit: Emit) -> Recorded:
    """Record a session; see :func:`loadgen.record.record`."""
    given = chosen(spec.server_env)
    emit(Stage(what="looking for Docker"))
    daemon = await Daemon.connect()
    if spec.topology.image is not None:
        await present(daemon, spec.topology.image, emit)  # fails before anything is started
    session = begin(spec, folder, emit, elsewhere=True)
    run, manifest = session.run, session.manifest
    listener = DriverEvents(emit)
    try:
        manifest.image = await _image(daemon, session, emit)
        run.save(manifest)
        inside = _inside(session, given)
        emit(Stage(what="starting containers"))
        await _record(daemon, session, inside, listener, stop)
        assert listener.end is not None
        manifest.spec = as_visited(manifest.spec, listener.end)
    except BaseException as error:
        manifest.result.state = State.FAILED
        manifest.result.error = str(error) or type(error).__name__
        raise
    finally:
        run.save(manifest)
    if folder is None:
        run.make_latest()
    return Recorded(run, manifest, listener.end)


async def _record(
    daemon: Daemon, session: Session, inside: RunSpec, listener: DriverEvents, stop: Stop
) -> None:
    """Run the two containers, and copy the run out, whatever the outcome.

    Raises:
        LoadgenError: it could not be recorded.
    """
    run, manifest = session.run, session.manifest
    memory = session.spec.topology.memory or layout.MEMORY
    ends: ContainerExits | None = None
    async with ContainerGroup(
        daemon, manifest.image, concurrency=manifest.concurrency, memory=memory
    ) as containers:
        await containers.network()
        server = await containers.create(layout.FLASK_RECORD, _words(Serve(spec=inside)))
        job = Drive(spec=replace(inside, server_env=()), folder=carry.inside(run), address=layout.RECORDED_AT)
        driver = await containers.create(layout.RECORD, _words(job))
        await carry.bring_in_traffic(daemon, driver, session)
        async with _collected(daemon, session, server, driver):
            ends = await containers.run(server, driver, listener.hear, stop)
    if stop.requested and listener.error is None and listener.end is None:
        raise Interrupted("interrupted")  # interrupted before there was anything to finish
    if listener.error or listener.end is None or manifest.result.state is not State.COMPLETE:
        raise exits.fault(
            ends,
            listener.error,
            phase="record",
            memory=memory,
            log=run.log,
            driver_log=run.path / "client.log",
        )
    if run.digests() != manifest.result.files:
        raise RecordingFault("the run was damaged on its way out of the containers", advice="Record again.")


@asynccontextmanager
async def _collected(daemon: Daemon, session: Session, server: Any, driver: Any) -> AsyncIterator[None]:
    """Copy out logs and run afterwards, whatever the outcome."""
    run = session.run
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(COLLECT_LIMIT):
            await daemon.save_log(server, run.log)
            await carry.keep_stderr(daemon, driver, run.path / "client.log")
            await carry.bring_out(daemon, driver, run, session.manifest)


async def _image(daemon: Daemon, session: Session, emit: Emit) -> str:
    topology = session.spec.topology
    if topology.image is not None:
        return await present(daemon, topology.image, emit)
    folder = session.target.folder
    recipe = Recipe(
        topology.test_image or DEFAULT_BASE,
        Path(topology.requirements) if topology.requirements else None,
        Path(folder) if folder else None,
    )
    return await ensure(daemon, recipe, emit)


def _words(job: Serve | Drive) -> str:
    return to_json(job).decode()


def _inside(session: Session, given: dict[str, str]) -> RunSpec:
    """Return the session's specification with the paths of the containers.

    Raises:
        UsageError: the server's working directory does not exist in the containers.
    """
    cwd, words = _started(session.target)
    load = session.spec.load
    return replace(
        session.spec,
        target=words,
        load=replace(load, concurrency=load.concurrency or None),
        cwd=cwd,
        server_env=tuple(f"{name}={value}" for name, value in given.items()),
        traffic=carry.traffic(session),
        topology=RecordTopology(),
    )


def _started(target: Target) -> tuple[str | None, tuple[str, ...]]:
    """Return the working directory of *target* in the containers, and its command there.

    Its folder is :data:`layout.APP` there, which is also the working directory, unless that is a subfolder.

    Raises:
        UsageError: its working directory does not exist in the containers.
    """
    if not target.folder:
        return None, ()
    here = Path(target.cwd)
    if here != Path.cwd() and not here.is_relative_to(target.folder):
        raise UsageError(
            f"the containers contain only the server's folder {target.folder}, not {here}",
            advice="Set --cwd to a directory that contains the server's code.",
        )

    def there(path: Path) -> str:
        inner = path.relative_to(target.folder).as_posix()
        return layout.APP if inner == "." else f"{layout.APP}/{inner}"

    words = list(target.words)
    if len(words) == 1 and words[0].endswith(".py"):
        words = [there(Path(target.argv[0]))]
    words = [there(Path(word)) if Path(word).is_relative_to(target.folder) else word for word in words]
    return (there(here) if here.is_relative_to(target.folder) else layout.APP), tuple(words)
