"""The summary of a hunt: how often each cell failed, what that excludes, and what the failures share."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from loadgen.core.proportion import CONFIDENCE, interval
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.hunt.grid import Cell, Grid, Trial
    from loadgen.hunt.trial import TrialCause, TrialResult


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """What came of some trials."""

    identical: int
    diverged: int
    undetermined: int
    planned: int

    @property
    def made(self) -> int:
        """Trials that have finished."""
        return self.identical + self.diverged + self.undetermined

    @property
    def rate(self) -> tuple[float, float]:
        """The rates of divergence that the trials do not exclude; the undetermined ones tell nothing."""
        return interval(self.diverged, self.identical + self.diverged)

    def to_json(self) -> dict[str, Any]:
        """Return it with the interval, and its confidence."""
        low, high = self.rate
        return {**asdict(self), "diverges": {"low": low, "high": high, "confidence": CONFIDENCE}}


@dataclass(frozen=True, slots=True)
class FailureKind:
    """What several trials failed of."""

    fault: str
    what: str
    first: str
    """The trial that showed it first."""
    headline: str
    why: str
    trials: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """One trial that was not identical."""

    trial: Trial
    result: TrialResult

    @property
    def run(self) -> str:
        """The run folder that is kept of it; empty if there is none."""
        return f"{self.result.folder}/run" if self.result.folder else ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a hunt has found so far."""

    grid: Grid
    ended: str
    total: TrialCounts
    cells: tuple[tuple[Cell, TrialCounts], ...]
    kinds: tuple[FailureKind, ...]
    failures: tuple[FailedTrial, ...]
    requests: int
    """Requests of all trials."""
    ratio: float | None
    """The median of replay's to recording's time, of the requests alone; none if no trial has both."""

    @property
    def judgement(self) -> Judgement:
        """One word for all of it, as of one verification."""
        if self.total.diverged:
            return Judgement.DIVERGED
        if self.total.undetermined or not self.total.made:
            return Judgement.UNDETERMINED
        return Judgement.IDENTICAL

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``summary.json``."""
        return {
            "verdict": self.judgement.value,
            "ended": self.ended,
            "settings": self.grid.settings,
            "requests": self.requests,
            "replay_to_recording": self.ratio,
            **self.total.to_json(),
            "cells": [{**asdict(cell), **tally.to_json()} for cell, tally in self.cells],
            "causes": [asdict(kind) for kind in self.kinds],
            "failures": [
                {"trial": one.trial.name, "run": one.run, **one.result.to_json()} for one in self.failures
            ],
        }


def summarise(grid: Grid, results: Mapping[str, TrialResult], ended: str) -> Summary:
    """Return what *results*, by the trials' names, tell of *grid*."""
    trials = list(grid.trials())
    made = [(trial, results[trial.name]) for trial in trials if trial.name in results]
    failed = [FailedTrial(trial, one) for trial, one in made if one.judgement is not Judgement.IDENTICAL]
    ratios = [one.sessions[1] / one.sessions[0] for _, one in made if one.sessions and one.sessions[0]]
    return Summary(
        grid,
        ended,
        _tally([one for _, one in made], len(trials)),
        tuple(
            (cell, _tally([one for trial, one in made if trial.cell == cell], len(grid.seeds)))
            for cell in grid.cells
        ),
        _kinds(failed),
        tuple(failed),
        sum(one.requests for _, one in made),
        median(ratios) if ratios else None,
    )


def _tally(results: list[TrialResult], planned: int) -> TrialCounts:
    count = Counter(one.judgement for one in results)
    return TrialCounts(
        count[Judgement.IDENTICAL], count[Judgement.DIVERGED], count[Judgement.UNDETERMINED], planned
    )


def _kinds(failures: list[FailedTrial]) -> tuple[FailureKind, ...]:
    """Gather what the failures have in common, the most frequent first."""
    found: dict[tuple[str, str], dict[str, TrialCause]] = {}
    for failure in failures:
        for cause in failure.result.causes:
            found.setdefault((cause.fault, cause.kind), {}).setdefault(failure.trial.name, cause)
    kinds = []
    for (fault, what), members in found.items():
        first, cause = next(iter(members.items()))
        kinds.append(FailureKind(fault, what, first, cause.headline, cause.why, tuple(members)))
    return tuple(sorted(kinds, key=lambda kind: -len(kind.trials)))
