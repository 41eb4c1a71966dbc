"""Verify: replay a recording, compare it with its transcript, and write a verdict with its evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio

from loadgen.core.alignment import align
from loadgen.core.classification import Classifier, table
from loadgen.core.comparison import ignoring
from loadgen.core.conclusion import concluded, counting_replay, outdated
from loadgen.core.events import Stage
from loadgen.core.judge import Judge
from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.settling import settled
from loadgen.core.spec import ModeName, Runtime
from loadgen.core.verdict import Database, Facts
from loadgen.engine import folders, interpreter, retrace
from loadgen.engine.log import first_message
from loadgen.errors import LoadgenError, RecordingFault, TranscriptFault, UsageError
from loadgen.modes.replaying import Replaying
from loadgen.store import sealed, surroundings
from loadgen.store.code_digests import changed
from loadgen.store.journal import Journal
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.comparison import Rule
    from loadgen.core.events import Emit
    from loadgen.core.spec import VerifySpec
    from loadgen.core.verdict import Altered, Verdict
    from loadgen.modes.base import Mode
    from loadgen.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification: the verdict, and the folder with its evidence."""

    verdict: Verdict
    folder: Path


class Once(Protocol):
    """Replays a run once; *log_calls* is the request whose calls are noted."""

    async def __call__(self, *, log_calls: int | None = None) -> Verified:
        """Replay."""


async def verify(
    manifest: Manifest,
    spec: VerifySpec,
    once: Once,
    emit: Emit,
    moved: Relocation = IN_PLACE,
    *,
    at_once: int = 1,
) -> Verified:
    """Replay a run as often as *spec* says, with *once*, *at_once* at a time, and conclude.

    Raises:
        UsageError: the run cannot be verified with these settings.
    """
    mode = spec.mode_of(manifest.spec.mode, manifest.id)
    if spec.explain and manifest.spec.engine_alone:
        raise UsageError(
            "this run was recorded by the engine alone, and --explain needs loadgen's own replay",
            advice="Leave out --explain, or record again without --engine-alone.",
        )
    replayed = await _replays(spec.replays, once, emit, at_once)
    verified = conclude(manifest, replayed, moved)
    if spec.explain and verified.verdict.causes and mode is ModeName.BOUNDARY:
        emit(Stage(what="replaying once more to explain"))
        replayed.append(await once(log_calls=verified.verdict.causes[0].first.seq))
        verified = conclude(manifest, replayed, moved)
    return verified


async def _replays(count: int, once: Once, emit: Emit, at_once: int) -> list[Verified]:
    """Return the results of *count* replays, in the order of their evidence."""
    if count == 1:
        return [await once()]
    found, errors = list[Verified](), list[Exception]()
    limit = anyio.CapacityLimiter(at_once)

    async def one(scope: anyio.CancelScope) -> None:
        async with limit:
            try:
                found.append(await once())
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                errors.append(error)
                scope.cancel()
        emit(Stage(what=f"replayed {len(found)} of {count} times"))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one, group.cancel_scope)
    if errors:
        raise errors[0]
    return sorted(found, key=lambda one: int(one.folder.name))


async def replay_once(
    run: RunFolder,
    manifest: Manifest,
    mode: Mode,
    spec: VerifySpec,
    emit: Emit,
    moved: Relocation = IN_PLACE,
    *,
    log_calls: int | None = None,
    folder: Path | None = None,
    limit: float | None = None,
) -> Verified:
    """Replay *run* in *mode* and compare; errors are in the verdict.

    The calls of request *log_calls* are noted in the verdict, if the mode supports it. The evidence is in
    *folder*, by default a new one in the run; *limit* is used in place of the time limit of *spec*.
    """
    rules: tuple[Rule, ...] = ignoring(spec.ignore)
    folder = run.new_verification() if folder is None else folder
    limit = spec.timeout if limit is None else limit
    replaying = Replaying(run, manifest, folder, Judge(rules, mode.terms), limit, emit, log_calls)
    replaying.moved = moved
    rows = table(spec.calls)
    if log_calls is None and not (spec.strict or spec.explain) and aligns(manifest, moved):
        replaying.align = rows
    replaying.facts = Facts(
        run=manifest.id,
        runtime=manifest.spec.runtime.value,
        replay=mode.name.value,
        versions=manifest.result.versions,
        engine_alone=manifest.spec.engine_alone,
    )
    try:
        await _replay(replaying, mode)
    except LoadgenError as error:
        replaying.judge.doubt(error)
    if database := manifest.result.started.database:  # it was started
        if there := Path(database).exists():
            why = f"there is a database at {database}: the replay may have used it"
            replaying.judge.doubt(RecordingFault(why))
        replaying.facts = replace(replaying.facts, database=Database(database, there))
    verdict = replaying.judge.verdict(
        requests=replaying.requests
        if replaying.complete
        else max(replaying.requests, manifest.requests or 0),
        complete=replaying.complete,
        client_order_same=replaying.client_order_same,
        facts=replaying.facts,
    )
    if replaying.asked is not None:
        from loadgen.statements import parse  # noqa: PLC0415 - its parser of SQL is slow to import

        verdict = settled(verdict, align(replaying.asked, Classifier(parse, rows)), replaying.targets)
    sealed.write(replaying.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, replaying.folder)


def relocated(run: RunFolder, manifest: Manifest, spec: VerifySpec) -> Relocation:
    """Return where the replay of *run* finds the folders and the interpreter that its recording names.

    Raises:
        RecordingFault: its application or its interpreter does not exist here.
        UsageError: it is not where *spec* says.
    """
    started, recorded = manifest.result.started, manifest.spec
    if recorded.runtime is Runtime.DOCKER:
        return IN_PLACE
    if not started.folders or recorded.engine_alone or recorded.mode is not ModeName.BOUNDARY:
        return Relocation(python=interpreter.located(recorded.python, spec.python, IN_PLACE))
    here = folders.found(started.checkout, list(manifest.sources), started.argv, run.path, spec.checkout)
    checkout = folders.relocation({folders.CHECKOUT: started.checkout}, {folders.CHECKOUT: here})
    python = interpreter.located(recorded.python, spec.python, checkout)
    now = {**folders.installed(interpreter.at(python)), folders.CHECKOUT: here}
    moved = folders.relocation({**started.folders, folders.CHECKOUT: started.checkout}, now)
    return replace(moved, python=python)


def aligns(manifest: Manifest, moved: Relocation = IN_PLACE) -> bool:
    """Whether calls are aligned: if the code is known to have changed since the recording.

    A recording with stacks is compared call by call instead, because it was made to find the first
    difference. On an event loop, calls are not assigned to requests, so they follow the tape's order, too.
    """
    spec = manifest.spec
    alignable = spec.mode is ModeName.BOUNDARY and not spec.engine_alone and not spec.stacks
    if not alignable or manifest.image or manifest.result.on_loop:
        return False
    return bool(changed(manifest.sources, moved) or surroundings.changed_packages(manifest, moved))


async def _replay(replaying: Replaying, mode: Mode) -> None:
    """Check the files, replay, and check that the transcript is complete.

    Raises:
        LoadgenError: the run cannot be judged, or not completely.
    """
    run, manifest = replaying.run, replaying.manifest
    retrace.check_versions(
        manifest.result.versions,
        interpreter.at(replaying.moved.python),
        client=mode.name is ModeName.CLIENT and not manifest.spec.traces_program,
        in_place=manifest.spec.mode is not ModeName.BOUNDARY or manifest.spec.engine_alone,
    )
    run.check_recording(manifest, mode.tape(run))
    folder = replaying.folder
    with run.read() as events, Journal(folder / "transcript.jsonl", folder / "bodies") as journal:
        unchanged = run.transcript_unchanged(manifest)
        replaying.emit(Stage(what="starting the replay"))
        await mode.replay(replaying, events, journal)
    if not events.ended:
        torn = " in the middle of a line" if events.torn else ""
        raise TranscriptFault(
            f"{events.name} is truncated{torn} after {events.requests} requests: the end record is missing",
            advice="Record again: loadgen record",
        )
    replaying.complete = True
    if not unchanged:
        raise TranscriptFault(
            f"{events.name} was changed after the recording (its SHA-256 differs)",
            advice="Restore the file, or record again.",
        )


def conclude(manifest: Manifest, replays: Sequence[Verified], moved: Relocation = IN_PLACE) -> Verified:
    """Return the verdict of the worst of *replays*, with the causes found in all of them.

    It is written to that replay's ``verdict.json``; those of the others stay unchanged.
    """
    counts = replays[counting_replay([one.verdict for one in replays])]
    client = counts.verdict.facts.replay == ModeName.CLIENT
    if client:
        edited = changed(manifest.client_sources)
    else:  # the image of a container contains the recorded code, even if it has changed outside
        edited = [] if manifest.image else changed(manifest.sources, moved)
    log = counts.folder / ("client.log" if client else "server.log")
    altered = [] if client else _altered(manifest, counts.folder, moved)
    told = [(one.folder.name, one.verdict) for one in replays]
    verdict = concluded(told, edited, first_message(log), altered)
    if (expires := manifest.expires) is not None and expires < datetime.now(UTC):
        days = f"{manifest.spec.label.max_age:,} days"
        verdict = outdated(verdict, f"it may be used for {days}, until {expires:%Y-%m-%d}")
    sealed.write(counts.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, counts.folder)


def _altered(manifest: Manifest, verification: Path, moved: Relocation) -> list[Altered]:
    """Return what changed around the code; empty if the recording has no data about it."""
    try:
        start = retrace.recorded_start(RunFolder(verification.parent.parent).recording)
    except RecordingFault:
        return []
    return surroundings.altered(manifest, start.environment, moved)
