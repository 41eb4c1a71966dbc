"""Verify: replay a recording, re-fire its transcript, and reach a verdict that is backed by files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from loadgen.client.journal import Journal
from loadgen.client.replay import Refire
from loadgen.core.transcript import Run
from loadgen.core.verdict import Judge
from loadgen.engine import retrace
from loadgen.errors import EngineFault, LoadgenError, RecordingFault, TranscriptFault
from loadgen.run_folder import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.comparison import Rule
    from loadgen.core.transcript import Event, Reader
    from loadgen.core.verdict import Verdict
    from loadgen.record import Watcher
    from loadgen.run_folder import Manifest, RunFolder
    from loadgen.runtimes import Runtime


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification: the verdict, and the folder that holds its evidence."""

    verdict: Verdict
    folder: Path


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
    """Replay *run* and compare; what goes wrong is in the verdict.

    *timeout* is seconds without an answer. The calls of request *watch* are noted, as a fact of the verdict.
    """
    replay = _Replay(run, manifest, runtime, timeout, watcher, Judge(ignored), watch)
    try:
        await replay.run()
    except LoadgenError as error:
        replay.judge.doubt(error)
    database = Path(manifest.database)
    if database.exists():
        replay.judge.doubt(RecordingFault(f"there is a database at {database}: the replay may have used it"))
    replay.facts["database"] = {"path": str(database), "exists": database.exists()}
    verdict = replay.judge.verdict(
        requests=replay.requests, whole=replay.whole, client_order_same=replay.client_order_same
    )
    verdict.facts = replay.facts
    write_json(replay.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, replay.folder)


class _Replay:
    """One replay in the making: what it found stays here, however it ends."""

    def __init__(
        self,
        run: RunFolder,
        manifest: Manifest,
        runtime: Runtime,
        timeout: float,
        watcher: Watcher,
        judge: Judge,
        watch: int | None,
    ) -> None:
        self._run = run
        self._watch = watch
        self._manifest = manifest
        self._runtime = runtime
        self._timeout = timeout
        self._watcher = watcher
        self.folder = run.new_verification()
        self.judge = judge
        self.requests = 0
        self.whole = False
        self.client_order_same: bool | None = None
        self.facts: dict[str, Any] = {
            "run": manifest.id,
            "runtime": runtime.name,
            "versions": manifest.versions,
        }
        if manifest.engine_alone:
            self.facts["engine_alone"] = True

    async def run(self) -> None:
        """Check what is on disk, replay it, and check that the transcript was whole.

        Raises:
            LoadgenError: the question cannot be answered, or not fully.
        """
        retrace.check_versions(self._manifest.versions)
        self._run.check_recording(self._manifest)
        with (
            self._run.read() as events,
            Journal(self.folder / "transcript.jsonl", self.folder / "bodies") as journal,
        ):
            unchanged = self._run.transcript_unchanged(self._manifest)
            self._watcher.stage("starting the replay")
            log = self.folder / "server.log"
            async with self._runtime.replay(self._run, self._manifest, log) as server:
                self._watcher.stage("replaying")
                self._watcher.journal(journal, self._manifest.totals.get("requests"))
                refire = Refire(server.url, server.wire, server.control, journal, self.judge, self._timeout)
                began = monotonic()
                if self._watch is not None:
                    await server.control.watch(self._watch)
                try:
                    await refire.run(self._seen(events, journal))
                    if events.ended:
                        await refire.finish_transcript(self.requests)
                except LoadgenError as error:
                    if how := await server.obituary():
                        raise EngineFault(
                            f"the replay server died: {how}\nbefore that: {error.message}",
                            advice=f"See {log}.",
                        ) from error
                    raise
                finally:
                    if self._watch is not None:
                        seen = await server.control.watched()
                        self.facts["watched"] = {"seq": self._watch, "seen": seen}
                self.client_order_same = refire.client_order_same
                self.facts["seconds"] = {
                    "recording": self._manifest.totals.get("seconds"),
                    "replay": round(monotonic() - began, 3),
                }
        if not events.ended:
            torn = " in the middle of a line" if events.torn else ""
            raise TranscriptFault(
                f"{events.name} was cut short{torn} after {events.requests} requests: it has no end",
                advice="Record again: loadgen record",
            )
        self.whole = True
        if not unchanged:
            raise TranscriptFault(
                f"{events.name} is not what was recorded: it was changed (SHA-256 differs)",
                advice="Restore the file, or record again.",
            )

    def _seen(self, events: Reader, journal: Journal) -> Iterator[Event]:
        """Pass the recorded events on, and begin the replay's transcript with the same first line."""
        for event in events:
            if isinstance(event, Run):
                journal.write(event)
            self.requests = events.requests
            yield event
