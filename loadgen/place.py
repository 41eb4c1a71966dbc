"""Where a session happens: the use cases run here and drive a runtime's server, or run in containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from loadgen import record as recording
from loadgen import verify as replaying

if TYPE_CHECKING:
    from loadgen.client.session import Stop
    from loadgen.core.comparison import Rule
    from loadgen.record import Recorded, Settings, Watcher
    from loadgen.runtimes import Recorder
    from loadgen.store.run_folder import Manifest, RunFolder
    from loadgen.verify import Replay, Verified


class Place(Protocol):
    """Somewhere to record and to verify."""

    async def record(self, settings: Settings, stop: Stop, watcher: Watcher) -> Recorded:
        """Record a session; see :func:`loadgen.record.record`."""

    async def verify(
        self,
        run: RunFolder,
        manifest: Manifest,
        *,
        timeout: float,  # noqa: ASYNC109 - of each answer, enforced by the scheduler
        watcher: Watcher,
        ignored: tuple[Rule, ...],
        watch: int | None,
    ) -> Verified:
        """Replay a run and compare; see :func:`loadgen.verify.verify`."""


class Here:
    """This process: with the servers of *runtime*, and a kind of *replay*."""

    def __init__(self, runtime: Recorder, replay: Replay) -> None:
        self._runtime = runtime
        self._replay = replay

    async def record(self, settings: Settings, stop: Stop, watcher: Watcher) -> Recorded:
        """Record a session."""
        return await recording.record(settings, self._runtime, stop, watcher)

    async def verify(
        self,
        run: RunFolder,
        manifest: Manifest,
        *,
        timeout: float,  # noqa: ASYNC109
        watcher: Watcher,
        ignored: tuple[Rule, ...],
        watch: int | None,
    ) -> Verified:
        """Replay a run and compare."""
        return await replaying.verify_by(
            self._replay,
            run,
            manifest,
            timeout=timeout,
            watcher=watcher,
            ignored=ignored,
            watch=watch,
        )
