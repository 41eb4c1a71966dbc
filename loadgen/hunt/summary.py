"""The summary of a search: how often each cell failed, the confidence intervals, and kinds of failures."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from loadgen.core.proportion import CONFIDENCE, interval
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.hunt.grid import Cell, Grid, Trial
    from loadgen.hunt.trial import TrialCause, TrialResult

KEPT = 200
"""Number of kinds of failures, and of failed trials, that a summary has; all are counted."""
NAMED = 20
"""Number of trials that are named of a kind."""


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
    count: int
    """Number of trials."""
    trials: tuple[str, ...]
    """The first of them."""


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
    """The first kinds of failures, the most frequent of them first."""
    failures: tuple[FailedTrial, ...]
    """The first trials that were not identical."""
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


@dataclass(slots=True)
class _Kind:
    cause: TrialCause
    """That of the first trial."""
    count: int = 0
    trials: list[str] = field(default_factory=list)


class Results:
    """The results of a search's finished trials; of each trial, only its name and two numbers stay."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._names = set[str]()
        self._counts: defaultdict[Cell, Counter[Judgement]] = defaultdict(Counter)
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._failed: list[FailedTrial] = []
        self._requests = 0
        self._ratios = array("d")

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, trial: Trial, result: TrialResult) -> None:
        """Count the *result* of a finished *trial*."""
        self._names.add(trial.name)
        self._counts[trial.cell][result.judgement] += 1
        self._requests += result.requests
        if result.sessions and result.sessions[0]:
            self._ratios.append(result.sessions[1] / result.sessions[0])
        if result.judgement is Judgement.IDENTICAL:
            return
        if len(self._failed) < KEPT:
            self._failed.append(FailedTrial(trial, result))
        for key, cause in {(cause.fault, cause.kind): cause for cause in reversed(result.causes)}.items():
            kind = self._kinds.get(key)
            if kind is None and len(self._kinds) < KEPT:
                kind = self._kinds[key] = _Kind(cause)
            if kind is not None:
                kind.count += 1
                kind.trials += [trial.name][: NAMED - len(kind.trials)]

    def summary(self, ended: str) -> Summary:
        """Summarise the trials so far; *ended* says why the search did."""
        cells = [(cell, _counts(self._counts[cell], len(self._grid.seeds))) for cell in self._grid.cells]
        kinds = [
            FailureKind(
                fault, what, one.trials[0], one.cause.headline, one.cause.why, one.count, tuple(one.trials)
            )
            for (fault, what), one in self._kinds.items()
        ]
        return Summary(
            self._grid,
            ended,
            _counts(sum(self._counts.values(), Counter()), len(self._grid)),
            tuple(cells),
            tuple(sorted(kinds, key=lambda kind: -kind.count)),
            tuple(self._failed),
            self._requests,
            median(self._ratios) if self._ratios else None,
        )


def _counts(count: Counter[Judgement], planned: int) -> TrialCounts:
    return TrialCounts(
        count[Judgement.IDENTICAL], count[Judgement.DIVERGED], count[Judgement.UNDETERMINED], planned
    )
