"""Verifying in containers: one without network replays the server, another joins it and sends requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from loadgen.containers import carry, exits, layout
from loadgen.containers.daemon import Daemon
from loadgen.containers.driver_events import DriverEvents
from loadgen.containers.group import ContainerGroup
from loadgen.containers.image import present
from loadgen.core.events import Stage
from loadgen.core.jobs import DriveReplay, ServeReplay
from loadgen.core.judge import Judge
from loadgen.core.spec import ModeName, Runtime, VerifySpec, to_json
from loadgen.core.stop import Stop
from loadgen.core.verdict import Database, Facts, Judgement, Reason, Verdict
from loadgen.errors import RecordingFault
from loadgen.store import sealed
from loadgen.verify import Verified

if TYPE_CHECKING:
    from loadgen.core.events import Emit
    from loadgen.errors import LoadgenError
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

COLLECT_LIMIT = 60.0
"""Time limit for copying the logs and the verification."""


async def replay_once(
    run: RunFolder, manifest: Manifest, spec: VerifySpec, emit: Emit, *, log_calls: int | None = None
) -> Verified:
    """Replay a run and compare; see :func:`loadgen.verify.replay_once`.

    Raises:
        LoadgenError: there is no Docker engine, or no image to replay in.
    """
    if manifest.spec.runtime is not Runtime.DOCKER:
        raise RecordingFault(
            "the run was recorded on this machine, and refers to files that a container does not have",
            advice="Verify it where it was recorded, or record again with --runtime docker.",
        )
    emit(Stage(what="looking for Docker"))
    daemon = await Daemon.connect()
    image = await _image(daemon, manifest, spec, emit)
    emit(Stage(what="starting containers"))
    folder, listener = run.new_verification(), DriverEvents(emit)
    log = folder / "server.log"
    memory = spec.topology.memory or layout.MEMORY
    limits = {"concurrency": manifest.concurrency, "memory": memory}
    mode = spec.mode_of(manifest.spec.mode, manifest.id)
    alone = mode is not ModeName.BOUNDARY
    inside = VerifySpec(timeout=spec.timeout, ignore=spec.ignore, mode=mode)
    async with ContainerGroup(daemon, image, **limits) as containers:
        where, server = carry.inside(run), None
        job = DriveReplay(
            spec=inside, run=where, address=None if alone else layout.REPLAYED_AT, log_calls=log_calls
        )
        if alone:
            driver = await containers.create(layout.REPLAY_ALONE, to_json(job).decode())
        else:
            server = await containers.create(layout.FLASK_REPLAY, to_json(ServeReplay(run=where)).decode())
            driver = await containers.create(layout.REPLAY, to_json(job).decode(), joined=server)
        await carry.bring_in(daemon, driver, run, folder)
        try:
            if server is None:
                ends = await containers.run_alone(driver, listener.hear)
            else:
                ends = await containers.run(server, driver, listener.hear, Stop())
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(COLLECT_LIMIT):
                if server is not None:
                    await daemon.save_log(server, log)
                await carry.keep_stderr(daemon, driver, folder / "client.log")
                reached = await carry.bring_out_verification(daemon, driver, run, folder)
    error = exits.fault(
        ends, listener.error, phase="replay", memory=memory, log=log, driver_log=folder / "client.log"
    )
    if reached is None:
        verdict = _undetermined(manifest, error)
    else:
        verdict = Verdict.from_json(reached)
        if verdict.judgement is Judgement.UNDETERMINED and exits.broke(ends.server):
            first = Reason(error.fault, error.message, error.advice, error.code)
            verdict = replace(verdict, reasons=(first, *verdict.reasons))
    sealed.write(folder / "verdict.json", verdict.to_json())
    return Verified(verdict, folder)


async def _image(daemon: Daemon, manifest: Manifest, spec: VerifySpec, emit: Emit) -> str:
    if spec.topology.image is not None:
        return await present(daemon, spec.topology.image, emit)
    if manifest.image and await daemon.image(manifest.image):
        return manifest.image
    raise RecordingFault(
        f"the image that recorded the run no longer exists: {manifest.image or 'its name was not recorded'}",
        advice="Give an image with the same content (--image), or record again.",
    )


def _undetermined(manifest: Manifest, error: LoadgenError) -> Verdict:
    """Return the verdict if the verifier itself could not reach one."""
    judge = Judge()
    judge.doubt(error)
    facts = Facts(
        run=manifest.id,
        runtime="docker",
        versions=manifest.result.versions,
        database=Database(manifest.result.started.database, exists=False),
    )
    return judge.verdict(requests=0, complete=False, client_order_same=None, facts=facts)
