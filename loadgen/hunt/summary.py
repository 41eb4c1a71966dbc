"""The summary of a search: how often each cell failed, the confidence intervals, and kinds of failures."""

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
    """Numbers of trials by verdict."""

    identical: int
    diverged: int
    undetermined: int
    planned: int

    @property
    def made(self) -> int:
        """Number of finished trials."""
        return self.identical + self.diverged + self.undetermined

    @property
    def rate(self) -> tuple[float, float]:
        """The confidence interval of the rate of divergence; undetermined trials are left out."""
        return interval(self.diverged, self.identical + self.diverged)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON, with the interval and its confidence."""
        low, high = self.rate
        return {**asdict(self), "diverges": {"low": low, "high": high, "confidence": CONFIDENCE}}


@dataclass(frozen=True, slots=True)
class FailureKind:
    """A kind of failure of several trials."""

    fault: str
    what: str
    first: str
    """The first trial with this failure."""
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
        """Its run folder; empty if it was not kept."""
        return f"{self.result.folder}/run" if self.result.folder else ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of a search so far."""

    grid: Grid
    ended: str
    total: TrialCounts
    cells: tuple[tuple[Cell, TrialCounts], ...]
    kinds: tuple[FailureKind, ...]
    failures: tuple[FailedTrial, ...]
    requests: int
    """Number of requests of all trials."""
    ratio: float | None
    """The median ratio of replay time to recording time, of the requests alone; None if unknown."""

    @property
    def judgement(self) -> Judgement:
        """The verdict on all trials."""
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
    """Summarise *results*, by trial name, for *grid*."""
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
    """Group the failures by kind, the most frequent first."""
    found: dict[tuple[str, str], dict[str, TrialCause]] = {}
    for failure in failures:
        for cause in failure.result.causes:
            found.setdefault((cause.fault, cause.kind), {}).setdefault(failure.trial.name, cause)
    kinds = []
    for (fault, what), members in found.items():
        first, cause = next(iter(members.items()))
        kinds.append(FailureKind(fault, what, first, cause.headline, cause.why, tuple(members)))
    return tuple(sorted(kinds, key=lambda kind: -len(kind.trials)))
