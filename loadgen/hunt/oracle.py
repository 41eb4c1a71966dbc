"""The oracle of a shrink: tries a workload until it is clear whether it still fails.

A failure is real, but a pass may be luck. So a sequential test of the failure rate decides, relative to the
rate of the workload that the candidate was made from. The answer is wrong for about one in eight borderline
candidates, and for far fewer if the rates are far apart.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from loadgen.core.proportion import Sequential
from loadgen.core.spec import Load, RunSpec, ScenarioTraffic, VerifySpec
from loadgen.core.verdict import Judgement
from loadgen.hunt.scenario_text import NAME, scenario_text, size
from loadgen.hunt.trial import LIMIT, TrialPlan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadgen.core.stop import Stop
    from loadgen.core.workload import Workload
    from loadgen.hunt.fleet import Fleet
    from loadgen.hunt.trial import TrialResult

WRONGLY = 0.12
HALF = 0.5
WELL = 0.75, 0.375
"""Rates at which a candidate fails, or passes, if what it was made from fails in half of its trials."""
NEARLY = 0.75, 0.2
"""Otherwise, as shares of the failure rate of that workload, which is assumed to be at least
:data:`HARDLY`."""
HARDLY = 0.07
MOST = 60
"""Trials after which an undecided candidate counts as passing."""


@dataclass(frozen=True, slots=True)
class FailureSignature:
    """Identifies a failure, so that shrinking does not drift to a different one."""

    judgement: Judgement
    kinds: frozenset[str]
    """The kinds of its causes, at least one of which a failure must have; empty: any."""
    faults: frozenset[str] = frozenset()
    """For an undetermined result: its possible faults."""

    def shown_by(self, result: TrialResult) -> bool:
        """Return whether *result* is this failure."""
        if result.judgement is not self.judgement:
            return False
        if self.judgement is Judgement.DIVERGED:
            return not self.kinds or any(cause.kind in self.kinds for cause in result.causes)
        return any(cause.fault in self.faults for cause in result.causes)


@dataclass(frozen=True, slots=True)
class FailureRate:
    """How often a workload failed."""

    failures: int
    trials: int

    @property
    def rate(self) -> float:
        """The share of its trials that failed."""
        return self.failures / self.trials if self.trials else 0.0


class ShrinkObserver:
    """Receives progress; does nothing by default."""

    def phase(self, what: str) -> None:
        """The phase *what* starts."""

    def tried(self, size: str, measured: FailureRate, *, kept: bool) -> None:
        """A candidate of *size* was judged; *kept*: shrinking continues from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """How candidates are tried."""

    fleet: Fleet
    record: RunSpec
    """The specification of the run; its traffic and load are replaced by those of a candidate."""
    verify: VerifySpec
    sign: FailureSignature
    folder: Path
    """Working folder; its content is removed."""
    seconds: float | None = None
    """Time limit for the whole shrink."""


class Oracle:
    """Judges candidates, and caches the answers."""

    def __init__(self, setting: TrialSettings, stop: Stop, observer: ShrinkObserver) -> None:
        self._setting = setting
        self._stop = stop
        self._observer = observer
        self._deadline = None if setting.seconds is None else monotonic() + setting.seconds
        self._known: dict[str, bool] = {}
        self._rates = WELL
        self.trials = 0
        self.candidates = 0

    def is_over(self) -> bool:
        """Return whether time is up: from then on, candidates count as passing without a trial."""
        return self._stop.requested or (self._deadline is not None and monotonic() >= self._deadline)

    def expect(self, rate: float) -> None:
        """Require candidates to fail nearly as often as *rate*, or in most trials if it is at least 0.5."""
        if rate >= HALF:
            self._rates = WELL
        else:
            self._rates = max(rate, HARDLY) * NEARLY[0], max(rate, HARDLY) * NEARLY[1]

    async def fails(self, workload: Workload) -> bool:
        """Return whether *workload* still fails."""
        if not workload.steps or self.is_over():
            return False
        text = scenario_text(workload, "A candidate.")
        if text not in self._known:
            test = Sequential(*self._rates, WRONGLY, WRONGLY)
            measured = await self.measure(
                workload, lambda: test.answer is not None, lambda failed: test.see(failed=failed), most=MOST
            )
            answer = bool(test.answer)
            if not answer and self.is_over():
                return False
            self._known[text] = answer
            self.candidates += 1
            self._observer.tried(size(workload), measured, kept=answer)
            if answer:
                self.expect(measured.rate)
        return self._known[text]

    async def measure(
        self,
        workload: Workload,
        enough: Callable[[], bool],
        see: Callable[[bool], None],
        *,
        most: int,
        keep: Path | None = None,
    ) -> FailureRate:
        """Try *workload* until it is *enough*, or *most* times; the files of its first failure go to *keep*.

        Raises:
            LoadgenError: it cannot be tried.
        """
        work = self._setting.folder / "candidate"
        work.mkdir(parents=True, exist_ok=True)
        file = work / "case.py"
        file.write_text(scenario_text(workload, "A candidate."), encoding="utf-8")
        spec = self._setting.record
        load = Load(concurrency=len(workload.users), iterations=1, timeout=spec.load.timeout)
        traffic = ScenarioTraffic(scenario=f"{file}:{NAME}")
        plan = TrialPlan(replace(spec, load=load, traffic=traffic), self._setting.verify)
        begun = failures = trials = 0
        kept = False
        errors: list[Exception] = []

        async def keep_trying(scope: anyio.CancelScope) -> None:
            nonlocal begun, failures, trials, kept
            while begun < most and not enough() and not self._stop.requested:
                begun += 1
                folder = work / str(begun)
                try:
                    result = await self._setting.fleet.run(plan, folder, limit=LIMIT)
                except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                    errors.append(error)
                    scope.cancel()
                    return
                failed = self._setting.sign.shown_by(result)
                trials += 1
                failures += failed
                self.trials += 1
                see(failed)
                if failed and keep is not None and not kept:
                    kept = True
                    shutil.move(folder, keep)
                shutil.rmtree(folder, ignore_errors=True)
                if enough():
                    scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(self._setting.fleet.slots):
                group.start_soon(keep_trying, group.cancel_scope)
        shutil.rmtree(work, ignore_errors=True)
        if errors:
            raise errors[0]
        return FailureRate(failures, trials)
