"""Chooses the mode and the host of a session; all sessions are started here."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.convention import RUNS, expanded, folder_of
from loadgen.core.events import ignore
from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.spec import ModeName, Runtime, Schedule
from loadgen.engine import interpreter, scratch
from loadgen.errors import RecordingFault, UsageError
from loadgen.modes.boundary import BoundaryMode
from loadgen.modes.local import LocalHost
from loadgen.store.verification import read_verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.scenario import User
    from loadgen.core.debug_plan import DebugPlan
    from loadgen.core.events import Emit
    from loadgen.core.spec import RunSpec, VerifySpec
    from loadgen.core.stop import Stop
    from loadgen.modes.base import Host, Mode
    from loadgen.record import Recorded
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.verify import Once, Verified


def _process(host: Host) -> Mode:
    from loadgen.modes.process import ProcessMode  # noqa: PLC0415 - most sessions do without

    return ProcessMode(host)


def _client(host: Host) -> Mode:
    from loadgen.modes.client import ClientMode  # noqa: PLC0415 - as above

    return ClientMode(host)


MODES: dict[ModeName, Callable[[Host], Mode]] = {
    ModeName.BOUNDARY: BoundaryMode,
    ModeName.PROCESS: _process,
    ModeName.CLIENT: _client,
}


async def record(
    spec: RunSpec, folder: Path | None, stop: Stop, emit: Emit, *, host: Host | None = None
) -> Recorded:
    """Record a session where *spec* says, or with the server of *host*.

    Raises:
        LoadgenError: it could not be recorded.
    """
    from loadgen import record as recording  # noqa: PLC0415 - slow, and verifying does without

    spec.topology.check()
    home = folder_of(spec) if folder is None and host is None else None
    spec = await expanded(spec, emit, inside=host is not None)
    if home is not None:
        folder = home / RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if host is None and spec.runtime is Runtime.DOCKER:
        from loadgen.containers.record import record as in_containers  # noqa: PLC0415 - Docker's SDK is slow

        recorded = await in_containers(spec, folder, stop, emit)
    else:
        recorded = await recording.record(spec, MODES[spec.mode](host or LocalHost()), folder, stop, emit)
    if home is not None:
        recorded.run.make_latest()
    return recorded


def here() -> Host:
    """Return this machine as a host, wherever a run was recorded: it is replayed where this process runs."""
    return LocalHost()


async def routes(spec: RunSpec) -> tuple[str, ...]:
    """Start the server of *spec* once under the engine; return its paths that need no parameters.

    Raises:
        LoadgenError: it cannot be recorded. Its temporary folder with the server's log is kept.
    """
    from loadgen import record as recording  # noqa: PLC0415 - as above
    from loadgen.client.scenario import Scenario  # noqa: PLC0415 - as above

    async def nothing(_: User) -> None: ...

    folder = tempfile.mkdtemp(prefix=scratch.prefix())
    plan = Scenario("nothing", "sends nothing", nothing)
    session = recording.begin(spec, Path(folder) / "run", ignore, scenario=plan)
    async with LocalHost().record(session) as server:
        known = await server.control.routes()
        await server.stop()
    shutil.rmtree(folder, ignore_errors=True)  # only now: an error names the log in it
    return tuple(known)


async def verify(
    run: RunFolder,
    manifest: Manifest,
    spec: VerifySpec,
    emit: Emit,
    *,
    host: Host | None = None,
    at_once: int = 1,
) -> Verified:
    """Verify a run where *spec* says, by default where it was recorded, or with the server of *host*.

    Of several replays, *at_once* run at a time.

    Raises:
        LoadgenError: nothing could be replayed.
    """
    from loadgen import verify as verifying  # noqa: PLC0415 - slow, and recording does without

    moved = verifying.relocated(run, manifest, spec)
    at_once = min(at_once, spec.replays) if host is None and _is_here(manifest, spec) else 1
    each = emit if at_once == 1 else ignore  # the progress of several replays is how many are done
    if manifest.sealed is None:
        again = once(run, manifest, spec, each, moved, host=host)
        return await verifying.verify(manifest, spec, again, emit, moved, at_once=at_once)
    from loadgen.store.sealing import unsealed  # noqa: PLC0415 - most runs are not sealed

    with unsealed(run, manifest) as (opened, recorded):
        again = once(opened, recorded, spec, each, moved, host=host)
        verified = await verifying.verify(recorded, spec, again, emit, moved, at_once=at_once)
    if opened is run:
        return verified
    folder = run.path / "verify" / verified.folder.name
    verdict, problem = read_verdict(folder)  # without secrets
    if verdict is None:
        raise RecordingFault(f"the verdict on {run.path} cannot be read: {problem}")
    return replace(verified, verdict=verdict, folder=folder)


async def debug(
    run: RunFolder, manifest: Manifest, spec: VerifySpec, plan: DebugPlan, terminal: int, folder: Path
) -> Verified:
    """Replay a run once, without time limits, and stop where *plan* says; the evidence is in *folder*.

    *terminal* is the descriptor of a socket: :mod:`loadgen.traced.debug.channel` defines what it carries.

    Raises:
        LoadgenError: nothing could be replayed.
    """
    from loadgen import verify as verifying  # noqa: PLC0415 - as above

    moved = verifying.relocated(run, manifest, spec)
    mode = BoundaryMode(LocalHost(debug=(plan, terminal)))
    one = await verifying.replay_once(run, manifest, mode, spec, ignore, moved, folder=folder, limit=math.inf)
    return verifying.conclude(manifest, [one], moved)


def _is_here(manifest: Manifest, spec: VerifySpec) -> bool:
    """Return whether the replay is of the application alone, on this machine: several do not disturb it."""
    topology = spec.topology_of(manifest.spec.runtime, manifest.id)
    name = spec.mode_of(manifest.spec.mode, manifest.id)
    return topology.runtime is not Runtime.DOCKER and name is ModeName.BOUNDARY


def once(
    run: RunFolder,
    manifest: Manifest,
    spec: VerifySpec,
    emit: Emit,
    moved: Relocation = IN_PLACE,
    *,
    host: Host | None = None,
) -> Once:
    """Return a function that replays a run once, with its folders at *moved*; see :func:`verify`."""
    from loadgen import verify as verifying  # noqa: PLC0415 - as above

    topology = spec.topology_of(manifest.spec.runtime, manifest.id)
    name = spec.mode_of(manifest.spec.mode, manifest.id)
    local = _is_here(manifest, spec)
    if (
        spec.coverage is not None
        and manifest.spec.threads is Schedule.EXPLORE
        and interpreter.at(moved.python).release < (3, 12)
    ):
        raise UsageError(
            f"--coverage cannot follow {manifest.id} on Python 3.11: it needs the same trace function",
            advice="Leave out --coverage.",
        )
    if spec.coverage is not None and (not local or manifest.spec.engine_alone):
        raise UsageError(
            f"--coverage needs a replay of the application on this machine, and {manifest.id} has another",
            advice="Leave out --coverage, or record with loadgen's defaults.",
        )
    if host is None and topology.runtime is Runtime.DOCKER:
        from loadgen.containers.verify import replay_once as in_containers  # noqa: PLC0415 - as above

        return partial(in_containers, run, manifest, spec, emit)
    mode = MODES[name](host or LocalHost(reaches=spec.coverage is not None))
    return partial(verifying.replay_once, run, manifest, mode, spec, emit, moved)
