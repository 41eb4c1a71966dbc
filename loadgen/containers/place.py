"""Recording and verifying in containers: the same use cases, run by a loadgen inside one of them.

The host starts the containers, shows what the one inside tells, and carries the run in and out. Its folder
ends up with what a local run has in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from loadgen.client.session import Stop
from loadgen.containers import blame, carry, layout
from loadgen.containers.daemon import Daemon
from loadgen.containers.events import Listener
from loadgen.containers.image import DEFAULT_BASE, Recipe, ensure, present
from loadgen.containers.session import Session
from loadgen.core.judge import Judge
from loadgen.core.verdict import Database, Facts, Judgement, Reason, Verdict
from loadgen.engine.target import BUNDLED
from loadgen.errors import Interrupted, LoadgenError, RecordingFault, UsageError
from loadgen.record import Recorded, begin
from loadgen.store.run_folder import write_json
from loadgen.verify import Verified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.containers.session import Ends
    from loadgen.core.comparison import Rule
    from loadgen.engine.target import Target
    from loadgen.record import Settings, Watcher
    from loadgen.store.run_folder import Manifest, RunFolder

COLLECT_LIMIT = 60.0
"""Seconds that fetching the logs and the run may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the containers are made."""

    image: str | None = None
    test_image: str = DEFAULT_BASE
    requirements: Path | None = None
    memory: str = layout.MEMORY
    server_env: Mapping[str, str] = field(default_factory=dict)
    """What the server under test gets beside its own environment."""

    @classmethod
    def of(cls, **given: Any) -> Options:
        """Return options with those of *given* that were."""
        return cls(**{name: value for name, value in given.items() if value is not None})


class Containers:
    """Containers of a Docker engine; see :class:`loadgen.place.Place`."""

    def __init__(self, options: Options) -> None:
        self._options = options

    async def record(self, settings: Settings, stop: Stop, watcher: Watcher) -> Recorded:
        """Record a session; see :func:`loadgen.record.record`."""
        watcher.stage("looking for Docker")
        daemon = await Daemon.connect()
        made_of = await self._image_to_record(daemon, settings.target, watcher)
        run, manifest = begin(settings, "docker", layout.DATABASE, {})
        manifest.image = made_of
        manifest.python_path = layout.APP if settings.target.folder else ""
        manifest.server_env = sorted(self._options.server_env)
        run.save(manifest)
        recording = _Recording(daemon, settings, self._options, run, manifest, watcher)
        try:
            await recording.run(stop)
        except BaseException as error:
            recording.manifest.state = "failed"
            recording.manifest.error = str(error) or type(error).__name__
            raise
        finally:
            run.save(recording.manifest)
        heard = recording.heard
        assert heard.outcome is not None
        if settings.folder is None:
            run.make_latest()
        return Recorded(run, recording.manifest, heard.outcome, heard.interrupted)

    async def verify(
        self,
        run: RunFolder,
        manifest: Manifest,
        *,
        timeout: float,  # noqa: ASYNC109 - of each answer, enforced by the verifier
        watcher: Watcher,
        ignored: tuple[Rule, ...],
        watch: int | None,
    ) -> Verified:
        """Replay a run and compare; see :func:`loadgen.verify.verify`."""
        if manifest.runtime != "docker":
            raise RecordingFault(
                f"the run was recorded by the {manifest.runtime} runtime: it refers to files of its machine, "
                "which a container does not have",
                advice="Verify it where it was recorded, or record again with --runtime docker.",
            )
        watcher.stage("looking for Docker")
        daemon = await Daemon.connect()
        made_of = await self._image_to_verify(daemon, manifest, watcher)
        return await _Replay(daemon, self._options, made_of, run, manifest, watcher).run(
            timeout, ignored, watch
        )

    async def _image_to_record(self, daemon: Daemon, target: Target, watcher: Watcher) -> str:
        if self._options.image is not None:
            return await present(daemon, self._options.image, watcher)
        application = Path(target.folder) if target.folder else None
        recipe = Recipe(self._options.test_image, self._options.requirements, application)
        return await ensure(daemon, recipe, watcher)

    async def _image_to_verify(self, daemon: Daemon, manifest: Manifest, watcher: Watcher) -> str:
        if self._options.image is not None:
            return await present(daemon, self._options.image, watcher)
        if manifest.image and await daemon.image(manifest.image):
            return manifest.image
        raise RecordingFault(
            f"the image that recorded the run is not here any more: {manifest.image or 'it was not noted'}",
            advice="Name one made of the same things: --image; or record again.",
        )


class _Recording:
    """One recording in containers."""

    def __init__(
        self,
        daemon: Daemon,
        settings: Settings,
        options: Options,
        run: RunFolder,
        manifest: Manifest,
        watcher: Watcher,
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._options = options
        self._run = run
        self._watcher = watcher
        self.manifest = manifest
        self.heard = Listener(watcher)

    async def run(self, stop: Stop) -> None:
        """Record, and bring out the run whatever comes of it.

        Raises:
            LoadgenError: it could not be recorded.
        """
        run, settings = self._run, self._settings
        ends: Ends | None = None
        self._watcher.stage("starting containers")
        limits = {"concurrency": settings.concurrency, "memory": self._options.memory}
        async with Session(self._daemon, self.manifest.image, **limits) as session:
            await session.network()
            cwd, target = _inside(settings.target)
            both = ["--health-path", settings.health_path, *(("--stacks",) if settings.stacks else ())]
            both += ["--schedule", settings.schedule]
            both += ["--cwd", cwd] if cwd else []
            given = [f"--server-env={name}={value}" for name, value in self._options.server_env.items()]
            server = await session.create(layout.FLASK_RECORD, *both, *given, "--", *target)
            driver = await session.create(
                layout.RECORD,
                *("--events", "--run", carry.inside(run), *both),
                *("--concurrency", str(settings.concurrency), "--seed", str(settings.seed)),
                *carry.scenario(settings.scenario),
                *_load(settings),
                *("--timeout", str(settings.timeout), "--", *target),
            )
            if settings.scenario.origin is not None:
                await carry.bring_in_scenario(self._daemon, driver, settings.scenario.origin)
            try:
                ends = await session.run(server, driver, self.heard.hear, stop)
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(COLLECT_LIMIT):
                    await self._collect(server, driver)
        if stop.requested and self.heard.error is None and self.heard.outcome is None:
            raise Interrupted("interrupted")  # it came before there was anything to finish
        if self.heard.error or self.heard.outcome is None or self.manifest.state != "complete":
            raise blame.fault(
                ends,
                self.heard.error,
                phase="record",
                memory=self._options.memory,
                log=run.log,
                driver_log=run.path / "client.log",
            )
        if run.digests() != self.manifest.files:
            raise RecordingFault(
                "the run was damaged on its way out of the containers", advice="Record again."
            )

    async def _collect(self, server: Any, driver: Any) -> None:
        await self._daemon.save_log(server, self._run.log)
        await _keep_words(self._daemon, driver, self._run.path / "client.log")
        self.manifest = await carry.bring_out(self._daemon, driver, self._run, self.manifest)


class _Replay:
    """One replay in containers."""

    def __init__(
        self,
        daemon: Daemon,
        options: Options,
        made_of: str,
        run: RunFolder,
        manifest: Manifest,
        watcher: Watcher,
    ) -> None:
        self._daemon = daemon
        self._options = options
        self._image = made_of
        self._run = run
        self._manifest = manifest
        self._watcher = watcher
        self._heard = Listener(watcher)
        self._folder = run.new_verification()

    async def run(
        self,
        timeout: float,  # noqa: ASYNC109 - of each answer
        ignored: tuple[Rule, ...],
        watch: int | None,
    ) -> Verified:
        """Replay, and bring out the evidence whatever comes of it."""
        log = self._folder / "server.log"
        self._watcher.stage("starting containers")
        limits = {"concurrency": self._manifest.concurrency, "memory": self._options.memory}
        async with Session(self._daemon, self._image, **limits) as session:
            where = carry.inside(self._run)
            server = await session.create(layout.FLASK_REPLAY, where)
            more = [option for rule in ignored for option in ("--ignore", rule.name)]
            more += [] if watch is None else ["--watch", str(watch)]
            driver = await session.create(
                layout.REPLAY, "--events", "--timeout", str(timeout), *more, where, joined=server
            )
            await carry.bring_in(self._daemon, driver, self._run, self._folder)
            try:
                ends = await session.run(server, driver, self._heard.hear, Stop())
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(COLLECT_LIMIT):
                    await self._daemon.save_log(server, log)
                    await _keep_words(self._daemon, driver, self._folder / "client.log")
                    reached = await carry.bring_out_verification(
                        self._daemon, driver, self._run, self._folder
                    )
        error = blame.fault(
            ends,
            self._heard.error,
            phase="replay",
            memory=self._options.memory,
            log=log,
            driver_log=self._folder / "client.log",
        )
        if reached is None:
            verdict = self._undetermined(error)
        else:
            verdict = Verdict.from_json(reached)
            if verdict.judgement is Judgement.UNDETERMINED and blame.broke(ends.server):
                first = Reason(error.fault, error.message, error.advice, error.code)
                verdict = replace(verdict, reasons=(first, *verdict.reasons))
        write_json(self._folder / "verdict.json", verdict.to_json())
        return Verified(verdict, self._folder)

    def _undetermined(self, error: LoadgenError) -> Verdict:
        """Return the verdict where the verifier itself could not reach one."""
        judge = Judge()
        judge.doubt(error)
        facts = Facts(
            run=self._manifest.id,
            runtime="docker",
            versions=self._manifest.versions,
            database=Database(self._manifest.database, exists=False),
        )
        return judge.verdict(requests=0, whole=False, client_order_same=None, facts=facts)


def _load(settings: Settings) -> list[str]:
    """Return the options of the load's shape."""
    shape = settings.shape
    options = ["--iterations", str(settings.iterations)]
    if shape.duration is not None:
        options = ["--duration", f"{shape.duration:.6f}s"]
    if shape.ramp_up:
        options += ["--ramp-up", f"{shape.ramp_up:.6f}s"]
    if shape.rate is not None:
        options += ["--rate", f"{shape.rate:.12f}/s"]
    return options


def _inside(target: Target) -> tuple[str, list[str]]:
    """Say where in the containers *target* is started, and how it is called there.

    Its folder is :data:`layout.APP` there, and where it is started unless it is started below.

    Raises:
        UsageError: it is started where the containers have nothing.
    """
    if not target.folder:
        return "", [BUNDLED]
    here = Path(target.cwd)
    if here != Path.cwd() and not here.is_relative_to(target.folder):
        raise UsageError(
            f"the containers have the server's folder only, {target.folder}, and not {here}",
            advice="Let --cwd be a directory that has the server's code in it.",
        )

    def there(path: Path) -> str:
        inner = path.relative_to(target.folder).as_posix()
        return layout.APP if inner == "." else f"{layout.APP}/{inner}"

    words = list(target.words)
    if len(words) == 1 and words[0].endswith(".py"):
        words = [there(Path(target.argv[0]))]
    words = [there(Path(word)) if Path(word).is_relative_to(target.folder) else word for word in words]
    return there(here) if here.is_relative_to(target.folder) else layout.APP, words


async def _keep_words(daemon: Daemon, container: Any, path: Path) -> None:
    """Keep what a driver said beside its events, if it said anything."""
    await daemon.save_log(container, path, stdout=False)
    if not path.stat().st_size:
        path.unlink()
