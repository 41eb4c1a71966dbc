"""Accept: a run's requests are recorded anew with the code of today, and the new recording takes its place.

The old recording stays until the new one is complete and verified, and somebody has accepted it; then the two
exchange their names in one step.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen import dispatch, verify
from loadgen.core.comparison import ignoring
from loadgen.core.events import Stage
from loadgen.core.pacing import AT_ONCE
from loadgen.core.spec import FileTraffic, GatewaySpec, Runtime
from loadgen.core.verdict import Judgement
from loadgen.diff import diff, side
from loadgen.engine import interpreter
from loadgen.engine.retrace import recorded_start
from loadgen.errors import Interrupted, MachineFault, RecordingFault, UsageError
from loadgen.store import files
from loadgen.store.run_folder import RunFolder
from loadgen.store.sealing import unsealed

if TYPE_CHECKING:
    from loadgen.core.events import Emit
    from loadgen.core.relocation import Relocation
    from loadgen.core.spec import RunSpec, VerifySpec
    from loadgen.core.stop import Stop
    from loadgen.core.verdict import Verdict
    from loadgen.record import Recorded
    from loadgen.store.manifest import Manifest
    from loadgen.verify import Verified


@dataclass(frozen=True, slots=True)
class Renewed:
    """A run, and the new recording that is to take its place."""

    old: RunFolder
    manifest: Manifest
    before: Verified
    """The old recording, replayed with the code of today."""
    new: RunFolder
    answers: Verdict
    """The recorded answers, old and new, compared."""
    after: Verified
    """The new recording, verified."""

    def check(self) -> None:
        """Refuse a new recording that does not replay identically: it would be a test that fails.

        Raises:
            RecordingFault: it does not.
        """
        if self.after.verdict.judgement is not Judgement.IDENTICAL:
            raise RecordingFault(
                f"the new recording of {self.old.path} does not replay identically: it is not taken",
                advice="Verify a new recording to see why: loadgen record, loadgen verify.",
            )

    def take(self) -> None:
        """Put the new recording in the place of the old one, which is removed then.

        Raises:
            LoadgenError: it cannot be taken; the old recording is untouched.
        """
        self.check()
        try:
            files.exchange(self.new.path, self.old.path)
        except OSError as error:
            raise MachineFault(f"{self.old.path} cannot be exchanged: {error.strerror}") from error
        self.discard()

    def discard(self) -> None:
        """Remove what is not in the place of the run: the new recording; after :meth:`take`, the old one."""
        shutil.rmtree(self.new.path.parent, ignore_errors=True)


async def renew(path: Path, manifest: Manifest, spec: VerifySpec, stop: Stop, emit: Emit) -> Renewed:
    """Record the requests of the run at *path* anew, beside it, and compare.

    Raises:
        LoadgenError: it could not be done; nothing has changed then.
    """
    if manifest.spec.runtime is Runtime.DOCKER:
        raise UsageError(f"{path} was recorded in containers", advice="Record it again: loadgen record")
    old = RunFolder(path.resolve())
    if manifest.sealed is None:
        old.check_recording(manifest)
    moved = verify.relocated(old, manifest, spec)
    emit(Stage(what=f"{manifest.id}: replaying it with the code of today"))
    before = await dispatch.verify(old, manifest, spec, emit)
    holder = Path(tempfile.mkdtemp(prefix=f".{old.path.name}.", dir=old.path.parent))
    try:
        with _directory(manifest, moved), unsealed(old, manifest) as (run, inner):
            recorded = await dispatch.record(_again(inner, run, moved), holder / old.path.name, stop, emit)
        _refuse_parts(recorded)
        new = recorded.manifest
        # What the requests are; how they were sent once more is in the command.
        new.spec = replace(manifest.spec, python=new.spec.python)
        recorded.run.save(new)
        answers = diff(side(old.path), side(recorded.run.path), ignoring(spec.ignore))
        emit(Stage(what=f"{manifest.id}: verifying the new recording"))
        after = await dispatch.verify(
            recorded.run, new, replace(spec, checkout=_checkout(manifest, moved), python=None), emit
        )
    except BaseException:
        shutil.rmtree(holder, ignore_errors=True)
        raise
    return Renewed(old, manifest, before, recorded.run, answers, after)


def _refuse_parts(recorded: Recorded) -> None:
    if recorded.end.interrupted:
        raise Interrupted("interrupted")


def _checkout(manifest: Manifest, moved: Relocation) -> str | None:
    there = manifest.result.started.checkout
    return moved.here(there) if there else None


def _again(manifest: Manifest, run: RunFolder, moved: Relocation) -> RunSpec:
    """Return the specification by which the requests of *run* are recorded once more.

    The values of the server's variables are in the recording alone.
    """
    spec = manifest.spec
    recorded = recorded_start(run.recording).environment
    verbatim = isinstance(spec.traffic, FileTraffic) and spec.traffic.verbatim
    given = tuple(f"{name}={recorded[name]}" for name in spec.server_env if name in recorded)
    return replace(
        spec,
        target=tuple(map(moved.here, spec.target)),
        cwd=spec.cwd and moved.here(spec.cwd),
        python=moved.python or interpreter.own().executable,
        traffic=FileTraffic(file=str(run.path), verbatim=verbatim),
        gateway=GatewaySpec(),
        load=replace(spec.load, concurrency=None, iterations=None, only=(), shape=AT_ONCE),
        server_env=given,
    )


def _directory(manifest: Manifest, moved: Relocation) -> chdir[str]:
    """Go where the run was recorded from, or where that is now: its paths are from there."""
    started = moved.here(manifest.result.started.directory)
    if not Path(started).is_dir():
        raise RecordingFault(
            f"{manifest.id} was recorded from {started}, which is not here",
            advice="Record it again from the directory where its server is started.",
        )
    return chdir(started)
