"""Stress: run the trials of a grid, several at a time, until all are done or a stop condition is met."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from loadgen.core.verdict import Judgement
from loadgen.hunt.trial import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.stop import Stop
    from loadgen.hunt.fleet import Fleet
    from loadgen.hunt.folder import HuntFolder
    from loadgen.hunt.grid import Trial
    from loadgen.hunt.trial import TrialResult


class StopReason(enum.StrEnum):
    """Why a search ended."""

    ALL = "all trials are made"
    FOUND = "a trial diverged"
    TIME = "its time was up"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When to stop early, and what to keep."""

    failure: bool = False
    """Stop at the first trial that diverged, and cancel those in progress."""
    seconds: float | None = None
    """Start no trial after this many seconds; trials in progress are finished."""
    keep: bool = False
    """Keep the files of identical trials too."""
    limit: float = LIMIT
    """Time limit for each trial's record or replay step, in seconds."""


class StressObserver:
    """Receives progress; does nothing by default."""

    def begin(self, trials: int, done: int, fleet: str) -> None:
        """The search starts: *done* of *trials* are already finished; *fleet* runs the rest."""

    def started(self, trial: Trial) -> None:
        """A trial starts."""

    def finished(self, trial: Trial, result: TrialResult) -> None:
        """A trial has finished."""


async def stress(
    hunt: HuntFolder, fleet: Fleet, until: Until, stop: Stop, observer: StressObserver
) -> StopReason:
    """Run the remaining trials of *hunt*; setting *stop* ends it after the trials in progress.

    Raises:
        LoadgenError: no trial can be run: the commands refuse their arguments, or the fleet is lost.
    """
    work = _Work(hunt, fleet, until, stop, observer)
    observer.begin(len(hunt.grid), len(hunt.results), fleet.name)
    async with anyio.create_task_group() as group:
        for _ in range(fleet.slots):
            group.start_soon(work.keep_trying, group.cancel_scope)
    if work.error is not None:
        raise work.error
    return work.ended


class _Work:
    """State shared by the tasks of one search."""

    def __init__(
        self, hunt: HuntFolder, fleet: Fleet, until: Until, stop: Stop, observer: StressObserver
    ) -> None:
        self._hunt = hunt
        self._fleet = fleet
        self._until = until
        self._stop = stop
        self._observer = observer
        self._deadline = monotonic() + until.seconds if until.seconds is not None else None
        self._open: Iterator[Trial] = (one for one in hunt.grid.trials() if one.name not in hunt.results)
        self.ended = StopReason.ALL
        self.error: Exception | None = None

    async def keep_trying(self, everybody: anyio.CancelScope) -> None:
        """Run one trial after the other; *everybody* is cancelled if continuing makes no sense."""
        while (trial := self._next()) is not None:
            try:
                result = await self._make(trial)
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                self.error = self.error or error
                everybody.cancel()
                return
            if self._until.failure and result.judgement is Judgement.DIVERGED:
                self.ended = StopReason.FOUND
                everybody.cancel()

    def _next(self) -> Trial | None:
        if self._stop.requested:
            self.ended = StopReason.INTERRUPTED
            return None
        trial = next(self._open, None)
        if trial is not None and self._deadline is not None and monotonic() >= self._deadline:
            self.ended = StopReason.TIME
            return None
        return trial

    async def _make(self, trial: Trial) -> TrialResult:
        self._observer.started(trial)
        finished = False
        try:
            result = await self._fleet.run(
                trial.plan, self._hunt.trial_folder(trial.name), limit=self._until.limit
            )
            finished = True
        finally:
            if not finished:  # its files are incomplete; the trial will be repeated
                self._hunt.discard(trial.name)
        if result.judgement is Judgement.IDENTICAL and not self._until.keep:
            self._hunt.discard(trial.name)
            result = replace(result, folder="")
        self._hunt.add(trial, result)
        self._observer.finished(trial, result)
        return result
