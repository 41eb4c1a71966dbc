"""Record: run a scenario against a server under the engine, and keep all of it in a run folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import httpx

from loadgen.client.session import Outcome, Stop, fire
from loadgen.core.pacing import AT_ONCE, Shape
from loadgen.core.transcript import Run
from loadgen.engine import retrace
from loadgen.errors import Interrupted, LoadgenError, RecordingFault, ServerFault
from loadgen.modes import client as client_trace
from loadgen.store.code_digests import sources
from loadgen.store.journal import Journal
from loadgen.store.run_folder import Manifest, RunFolder, digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from loadgen.client.scenario import Scenario
    from loadgen.engine.target import Target
    from loadgen.runtimes import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to record."""

    target: Target
    scenario: Scenario
    concurrency: int
    iterations: int
    """Of each user; of no meaning where the shape has a duration."""
    shape: Shape = AT_ONCE
    seed: int
    timeout: float
    """Seconds until a request is given up."""
    health_path: str
    trace: str = "server"
    """What is recorded for replay; see :attr:`loadgen.store.run_folder.Manifest.trace`."""
    stacks: bool = False
    """Whether the engine shall record the stack of every call."""
    engine_alone: bool = False
    """Whether to leave the engine's gaps open."""
    schedule: str = "turns"
    """How threads run while recording: ``turns``, ``parallel`` or ``explore``; see
    :mod:`loadgen.traced.schedule`."""
    explore: Mapping[str, Any] = field(default_factory=dict)
    """With the schedule ``explore``: what chooses; see :mod:`loadgen.traced.explore`."""
    folder: Path | None
    """Where to put the run; by default a new folder under ``runs/``."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished recording."""

    run: RunFolder
    manifest: Manifest
    outcome: Outcome
    interrupted: bool


class Latencies(Protocol):
    """How long answers take."""

    def percentile(self, percent: float) -> float:
        """Return the duration, in seconds, that *percent* of the answers do not exceed."""


class Figures(Protocol):
    """The running figures of a session: those of its journal, or what is heard of one elsewhere."""

    @property
    def requests(self) -> int:
        """How many were issued."""

    @property
    def failures(self) -> int:
        """How many got no answer."""

    @property
    def elapsed(self) -> float:
        """Seconds since the session began."""

    @property
    def statuses(self) -> Mapping[int, int]:
        """How many answers had each status."""

    @property
    def latency(self) -> Latencies:
        """How long answers took."""


class Watcher:
    """What a caller may want to see while it happens; by default nothing."""

    def stage(self, what: str) -> None:
        """Say that *what* begins."""

    def journal(self, journal: Figures, total: int | None, until: float | None = None) -> None:
        """Show the figures of *journal* from now on.

        *total* requests are expected, and the session begins nothing after *until* seconds, if that is known.
        """

    def say(self, line: str) -> None:
        """Tell a line of a scenario's story."""

    def recorded(self, result: Recorded) -> None:
        """See how a recorded session ended."""


def iterations(settings: Settings) -> int:
    """Return how many iterations each user runs; 0: as many as there is time for."""
    return settings.iterations if settings.shape.duration is None else 0


def total(settings: Settings) -> int | None:
    """Return how many requests a session will issue, if its scenario knows, and time does not decide."""
    requests = settings.scenario.requests
    if requests is None or settings.shape.duration is not None:
        return None
    return requests(settings.concurrency) * settings.iterations


def begin(
    settings: Settings, runtime: str, database: str, versions: dict[str, str]
) -> tuple[RunFolder, Manifest]:
    """Make the folder of a run, and its manifest."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%d-%H%M%S}-c{settings.concurrency}-s{settings.seed}"
    run = RunFolder.create(settings.folder, name)
    origin = settings.scenario.origin
    manifest = Manifest(
        id=run.path.name,
        created=now.isoformat(timespec="seconds"),
        runtime=runtime,
        target=settings.target.name,
        argv=list(settings.target.argv),
        python_path=settings.target.folder,
        cwd=settings.target.cwd,
        scenario=settings.scenario.name,
        seed=settings.seed,
        concurrency=settings.concurrency,
        iterations=iterations(settings),
        load=asdict(settings.shape),
        timeout=settings.timeout,
        health_path=settings.health_path,
        stacks=settings.stacks,
        engine_alone=settings.engine_alone,
        schedule=settings.schedule,
        explore=dict(settings.explore),
        trace=settings.trace,
        database=database,
        database_used=False,
        versions=versions,
        sources=sources(settings.target),
        client_sources={str(origin.file): digest(origin.file)} if origin else {},
    )
    run.save(manifest)
    return run, manifest


async def record(settings: Settings, runtime: Recorder, stop: Stop, watcher: Watcher) -> Recorded:
    """Record a session; setting *stop* ends it early, with what was recorded until then.

    Raises:
        LoadgenError: the run folder then says ``failed``, and keeps what there is.
    """
    versions = retrace.versions()
    run, manifest = begin(settings, runtime.name, runtime.database(), versions)
    try:
        with Journal(run.transcript, run.bodies) as journal:
            journal.write(
                Run(
                    manifest.id,
                    settings.scenario.name,
                    settings.seed,
                    settings.concurrency,
                    manifest.iterations,
                    manifest.created,
                )
            )
            outcome = await _session(settings, runtime, run, manifest, journal, stop, watcher)
        manifest.files = run.digests()
        manifest.state = "complete"
    except BaseException as error:
        manifest.state = "failed"
        manifest.error = str(error) or type(error).__name__
        raise
    finally:
        run.save(manifest)
    if settings.folder is None:
        run.make_latest()
    return Recorded(run, manifest, outcome, stop.requested)


async def _session(
    settings: Settings,
    runtime: Recorder,
    run: RunFolder,
    manifest: Manifest,
    journal: Journal,
    stop: Stop,
    watcher: Watcher,
) -> Outcome:
    watcher.stage(f"starting {settings.target.name} under the engine")
    async with runtime.record(settings.target, run, manifest) as server:
        watcher.stage("recording")
        began, shape = journal.elapsed, settings.shape
        watcher.journal(journal, total(settings), None if shape.duration is None else began + shape.duration)

        async def stop_with_server() -> None:
            await server.ended()
            stop.requested = True

        failed: LoadgenError | None = None
        async with anyio.create_task_group() as watching:
            watching.start_soon(stop_with_server)
            try:
                outcome = await _load(settings, run, server.url, journal, stop, watcher)
            except LoadgenError as error:  # kept out of the group, which would wrap it
                failed = error
            watching.cancel_scope.cancel()
        if failed is not None:
            raise failed
        manifest.totals = {
            "requests": journal.requests,
            "failures": journal.failures,
            "seconds": round(journal.lived, 3),
            "statuses": {str(status): count for status, count in sorted(journal.statuses.items())},
            "p50_ms": round(journal.latency.percentile(50) * 1000, 2),
            "p99_ms": round(journal.latency.percentile(99) * 1000, 2),
            "iterations": outcome.iterations,
            "failed_iterations": outcome.failed,
        }
        if shape.rate is not None:
            manifest.totals |= {
                "corrected_p50_ms": round(journal.corrected.percentile(50) * 1000, 2),
                "corrected_p99_ms": round(journal.corrected.percentile(99) * 1000, 2),
                "waited": outcome.waited,
                "longest_wait_ms": round(outcome.longest_wait * 1000, 2),
            }
        try:
            order = await server.control.order()
            journal.end(order, journal.requests)
            manifest.database_used = (await server.control.state()).database
        except httpx.TransportError as error:
            how = await server.obituary() or f"{type(error).__name__}: {error}"
            raise ServerFault(
                f"the recorded server is gone after {journal.requests} requests: {how}",
                advice=f"See {run.log}. The transcript so far is kept.",
            ) from error
        watcher.stage("finishing the recording")
        await server.stop()
    if (whole := retrace.finished(run.recording)) < len(order) // 2:
        raise RecordingFault(
            f"the recording holds {whole} of the {len(order) // 2} requests that were served: the engine did "
            "not write all of it",
            advice="Is the disk full, or a limit on file sizes in force?",
        )
    if not journal.requests and stop.requested:
        raise Interrupted("interrupted before the first request: nothing was recorded")
    if not journal.requests:
        raise ServerFault("nothing was recorded: the scenario issued no request")
    return outcome


async def _load(
    settings: Settings,
    run: RunFolder,
    url: str,
    journal: Journal,
    stop: Stop,
    watcher: Watcher,
) -> Outcome:
    """Run the virtual users: in this process, or traced in one of their own."""
    if settings.trace == "client":
        return await client_trace.fire(settings, run, url, journal, stop, watcher.say)
    return await fire(
        url,
        settings.scenario,
        journal,
        concurrency=settings.concurrency,
        iterations=settings.iterations,
        seed=settings.seed,
        timeout=settings.timeout,
        stop=stop,
        say=watcher.say,
        shape=settings.shape,
    )
