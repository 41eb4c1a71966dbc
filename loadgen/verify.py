"""Verify: replay a recording, hold it to its transcript, and reach a verdict that is backed by files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from loadgen.client.replay import Refire
from loadgen.core.judge import BOUNDARY, Judge
from loadgen.core.transcript import Run
from loadgen.core.verdict import Database, Facts, Seconds, Watched
from loadgen.engine import retrace
from loadgen.errors import EngineFault, LoadgenError, RecordingFault, TranscriptFault
from loadgen.store.journal import Journal
from loadgen.store.run_folder import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.comparison import Rule
    from loadgen.core.judge import Terms
    from loadgen.core.transcript import Event, Reader
    from loadgen.core.verdict import Verdict
    from loadgen.record import Watcher
    from loadgen.runtimes import Runtime
    from loadgen.store.run_folder import Manifest, RunFolder


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification: the verdict, and the folder that holds its evidence."""

    verdict: Verdict
    folder: Path


@dataclass(slots=True)
class Case:
    """One replay in the making: what it found stays here, however it ends."""

    run: RunFolder
    manifest: Manifest
    folder: Path
    judge: Judge
    timeout: float
    watcher: Watcher
    requests: int = 0
    whole: bool = False
    watch: int | None = None
    """The request whose calls are noted, where the replay can tell them."""
    client_order_same: bool | None = None
    facts: Facts = field(default_factory=Facts)

    @property
    def log(self) -> Path:
        """Where the replayed process prints to."""
        return self.folder / "server.log"


class Replay(Protocol):
    """A kind of replay."""

    name: str
    """As in the manifest's ``trace``."""
    where: str
    """The name of the runtime."""
    terms: Terms

    def recording(self, run: RunFolder) -> Path:
        """Return the tape that it replays."""

    async def replay(self, case: Case, events: Reader, journal: Journal) -> None:
        """Replay, let the case's judge see all that can be compared, and write the replay's own transcript.

        Raises:
            LoadgenError: the question cannot be answered, or not fully.
        """


async def verify(
    run: RunFolder,
    manifest: Manifest,
    runtime: Runtime,
    *,
    timeout: float,  # noqa: ASYNC109 - of each answer, enforced by the scheduler
    watcher: Watcher,
    ignored: tuple[Rule, ...] = (),
    watch: int | None = None,
) -> Verified:
    """Replay *run* at its server's request boundary; see :func:`verify_by`."""
    return await verify_by(
        AtBoundary(runtime), run, manifest, timeout=timeout, watcher=watcher, ignored=ignored, watch=watch
    )


async def verify_by(
    replay: Replay,
    run: RunFolder,
    manifest: Manifest,
    *,
    timeout: float,  # noqa: ASYNC109
    watcher: Watcher,
    ignored: tuple[Rule, ...] = (),
    watch: int | None = None,
) -> Verified:
    """Replay *run* and compare; what goes wrong is in the verdict.

    *timeout* is seconds without an answer. The calls of request *watch* are noted, as a fact of the verdict,
    where it is a replay at the boundary.
    """
    case = Case(
        run, manifest, run.new_verification(), Judge(ignored, replay.terms), timeout, watcher, watch=watch
    )
    case.facts = Facts(
        run=manifest.id,
        runtime=replay.where,
        replay=replay.name,
        versions=manifest.versions,
        engine_alone=manifest.engine_alone,
    )
    try:
        await _run(replay, case)
    except LoadgenError as error:
        case.judge.doubt(error)
    database = Path(manifest.database)
    if database.exists():
        case.judge.doubt(RecordingFault(f"there is a database at {database}: the replay may have used it"))
    case.facts = replace(case.facts, database=Database(str(database), database.exists()))
    verdict = case.judge.verdict(
        requests=case.requests,
        whole=case.whole,
        client_order_same=case.client_order_same,
        facts=case.facts,
    )
    write_json(case.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, case.folder)


async def _run(replay: Replay, case: Case) -> None:
    """Check what is on disk, replay it, and check that the transcript was whole.

    Raises:
        LoadgenError: the question cannot be answered, or not fully.
    """
    retrace.check_versions(case.manifest.versions)
    case.run.check_recording(case.manifest, replay.recording(case.run))
    with (
        case.run.read() as events,
        Journal(case.folder / "transcript.jsonl", case.folder / "bodies") as journal,
    ):
        unchanged = case.run.transcript_unchanged(case.manifest)
        case.watcher.stage("starting the replay")
        await replay.replay(case, events, journal)
    if not events.ended:
        torn = " in the middle of a line" if events.torn else ""
        raise TranscriptFault(
            f"{events.name} was cut short{torn} after {events.requests} requests: it has no end",
            advice="Record again: loadgen record",
        )
    case.whole = True
    if not unchanged:
        raise TranscriptFault(
            f"{events.name} is not what was recorded: it was changed (SHA-256 differs)",
            advice="Restore the file, or record again.",
        )


class Timed:
    """Begins the replay, for those who watch, and notes how long it took."""

    def __init__(self, case: Case, journal: Journal) -> None:
        self._case = case
        self._journal = journal
        self._began = 0.0

    def __enter__(self) -> None:
        self._case.watcher.stage("replaying")
        self._case.watcher.journal(self._journal, self._case.manifest.totals.get("requests"))
        self._began = monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            took = Seconds(self._case.manifest.totals.get("seconds"), round(monotonic() - self._began, 3))
            self._case.facts = replace(self._case.facts, seconds=took)


def seen(case: Case, events: Reader, journal: Journal) -> Iterator[Event]:
    """Pass the recorded events on, and begin the replay's transcript with the same first line."""
    for event in events:
        if isinstance(event, Run):
            journal.write(event)
        case.requests = events.requests
        yield event


class AtBoundary:
    """The server replayed at its request boundary: the requests are sent again."""

    name = "server"
    terms = BOUNDARY

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.where = runtime.name

    def recording(self, run: RunFolder) -> Path:
        """Return the server's tape."""
        return run.recording

    async def replay(self, case: Case, events: Reader, journal: Journal) -> None:
        """Replay the server, and re-fire the transcript."""
        async with self._runtime.replay(case.run, case.manifest, case.log) as server:
            refire = Refire(server.url, server.wire, server.control, journal, case.judge, case.timeout)
            if case.watch is not None:
                await server.control.watch(case.watch)
            with Timed(case, journal):
                try:
                    await refire.run(seen(case, events, journal))
                    if events.ended:
                        await refire.finish_transcript(case.requests)
                except LoadgenError as error:
                    if how := await server.obituary():
                        raise EngineFault(
                            f"the replay server died: {how}\nbefore that: {error.message}",
                            advice=f"See {case.log}.",
                        ) from error
                    raise
                finally:
                    if case.watch is not None:
                        watched = Watched(case.watch, await server.control.watched())
                        case.facts = replace(case.facts, watched=watched)
                case.client_order_same = refire.client_order_same
