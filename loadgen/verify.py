"""Verify: replay a recording, hold it to its transcript, and reach a verdict that is backed by files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from loadgen.client.replay import Refire
from loadgen.core.alignment import align
from loadgen.core.classification import Classifier
from loadgen.core.exchange import Request
from loadgen.core.settling import settle
from loadgen.core.transcript import Run
from loadgen.core.verdict import BOUNDARY, Judge
from loadgen.engine import retrace
from loadgen.errors import EngineFault, LoadgenError, RecordingFault, TranscriptFault
from loadgen.statements import parse
from loadgen.store import sealed
from loadgen.store.code_digests import changed
from loadgen.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.comparison import Rule
    from loadgen.core.transcript import Event, Reader
    from loadgen.core.verdict import Terms, Verdict
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
    asked: dict[str, Any] | None = None
    """What each request asked in a replay that aligns, as its boundary tells it."""
    targets: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """User, method and target of each request of such a replay."""
    facts: dict[str, Any] = field(default_factory=dict)

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
    strict: bool = False,
) -> Verified:
    """Replay *run* at its server's request boundary; see :func:`verify_by`.

    Code that is not what was recorded has its calls aligned, unless *strict*.
    """
    return await verify_by(
        AtBoundary(runtime, strict=strict),
        run,
        manifest,
        timeout=timeout,
        watcher=watcher,
        ignored=ignored,
        watch=watch,
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
    case.facts = {
        "run": manifest.id,
        "runtime": replay.where,
        "replay": replay.name,
        "versions": manifest.versions,
    }
    if manifest.engine_alone:
        case.facts["engine_alone"] = True
    try:
        await _run(replay, case)
    except LoadgenError as error:
        case.judge.doubt(error)
    database = Path(manifest.database)
    if database.exists():
        case.judge.doubt(RecordingFault(f"there is a database at {database}: the replay may have used it"))
    case.facts["database"] = {"path": str(database), "exists": database.exists()}
    verdict = case.judge.verdict(
        requests=case.requests, whole=case.whole, client_order_same=case.client_order_same
    )
    verdict.facts = case.facts
    if case.asked is not None:
        settle(verdict, align(case.asked, Classifier(parse)), case.targets)
    sealed.write(case.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, case.folder)


async def _run(replay: Replay, case: Case) -> None:
    """Check what is on disk, replay it, and check that the transcript was whole.

    Raises:
        LoadgenError: the question cannot be answered, or not fully.
    """
    retrace.check_versions(case.manifest.versions, client=replay.name == "client")
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
            self._case.facts["seconds"] = {
                "recording": self._case.manifest.totals.get("seconds"),
                "replay": round(monotonic() - self._began, 3),
            }


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

    def __init__(self, runtime: Runtime, *, strict: bool = False) -> None:
        """Replay by *runtime*; with *strict*, any difference of calls is one in changed code, too."""
        self._runtime = runtime
        self._strict = strict
        self._aligned = False
        self.where = runtime.name

    def recording(self, run: RunFolder) -> Path:
        """Return the server's tape."""
        return run.recording

    async def replay(self, case: Case, events: Reader, journal: Journal) -> None:
        """Replay the server, and re-fire the transcript."""
        local = self._runtime.name == "local"  # elsewhere runs what was recorded
        self._aligned = local and case.watch is None and not self._strict and aligns(case.manifest)
        run, manifest = case.run, case.manifest
        async with self._runtime.replay(run, manifest, case.log, aligned=self._aligned) as server:
            refire = Refire(server.url, server.wire, server.control, journal, case.judge, case.timeout)
            if case.watch is not None:
                await server.control.watch(case.watch)
            with Timed(case, journal):
                try:
                    await refire.run(self._noted(case, events, journal))
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
                    if self._aligned:
                        case.asked = await server.control.alignment()
                        if case.asked is None:
                            case.judge.doubt(EngineFault("what the changed code asked is not known"))
                    if case.watch is not None:
                        calls = await server.control.watched()
                        case.facts["watched"] = {"seq": case.watch, "seen": calls}
                case.client_order_same = refire.client_order_same

    def _noted(self, case: Case, events: Reader, journal: Journal) -> Iterator[Event]:
        """Pass the recorded events on, and note what was asked for where calls are aligned."""
        for event in seen(case, events, journal):
            if self._aligned and isinstance(event, Request):
                case.targets[event.seq] = (event.user, event.method, event.target)
            yield event


def aligns(manifest: Manifest) -> bool:
    """Whether the calls of a replay are aligned: its code is not what was recorded, as far as is known."""
    return not manifest.image and not manifest.engine_alone and bool(changed(manifest.sources))
