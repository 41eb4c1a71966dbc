"""The grid of trials: a cell is a combination of settings, and each seed makes one trial of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs, to_builtins

from loadgen.core.option import assemble
from loadgen.core.pacing import parse_duration
from loadgen.core.spec import RunSpec, Runtime, ScenarioTraffic, VerifySpec, absolute
from loadgen.errors import UsageError
from loadgen.hunt.trial import TrialPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 100_000
"""Largest length of a list."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One combination of settings, over all seeds; empty values mean the defaults of the commands."""

    runtime: str
    scenario: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial to make."""

    name: str
    """Unique in its search; the name of its folder."""
    cell: Cell
    seed: int
    plan: TrialPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All trials of a search."""

    record: RunSpec = field(default_factory=RunSpec)
    """What every trial records, except for the settings of its cell and its seed."""
    verify: VerifySpec = field(default_factory=VerifySpec)
    concurrency: tuple[int, ...]
    seeds: tuple[int, ...]
    scenarios: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()

    @property
    def cells(self) -> list[Cell]:
        """The cells, in display order."""
        return [
            Cell(runtime, scenario, concurrency)
            for runtime in self.runtimes or ("",)
            for scenario in self.scenarios or ("",)
            for concurrency in self.concurrency
        ]

    def trials(self) -> Iterator[Trial]:
        """Yield all trials, one seed of every cell before the next, so a short search covers all cells."""
        cells = self.cells
        for seed in self.seeds:
            for cell in cells:
                yield Trial(self._name(cell, seed), cell, seed, self._plan(cell, seed))

    def absolute(self) -> Grid:
        """Return the grid with absolute paths, for trials on other machines."""
        scenarios = (ScenarioTraffic(scenario=one) for one in self.scenarios)
        resolved = (absolute(RunSpec(traffic=one), _resolve).traffic for one in scenarios)
        return replace(
            self,
            record=absolute(self.record, _resolve),
            scenarios=tuple(one.scenario for one in resolved if isinstance(one, ScenarioTraffic)),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The grid as a JSON object, without the values of the server's variables."""
        content: dict[str, Any] = to_builtins(replace(self, record=self.record.public))
        return content

    def __len__(self) -> int:
        return len(self.cells) * len(self.seeds)

    def _plan(self, cell: Cell, seed: int) -> TrialPlan:
        spec = self.record
        load = structs.replace(spec.load, concurrency=cell.concurrency, seed=seed)
        traffic = ScenarioTraffic(scenario=cell.scenario) if cell.scenario else spec.traffic
        runtime = Runtime(cell.runtime) if cell.runtime else spec.topology.runtime
        topology = structs.replace(spec.topology, runtime=runtime)
        return TrialPlan(structs.replace(spec, load=load, traffic=traffic, topology=topology), self.verify)

    def _name(self, cell: Cell, seed: int) -> str:
        parts = [cell.runtime] if len(self.runtimes) > 1 else []
        if len(self.scenarios) > 1:
            at = self.scenarios.index(cell.scenario) + 1
            parts.append(f"{at}-" + re.sub(r"\W+", "-", cell.scenario).strip("-")[-40:])
        return "-".join([*parts, f"c{cell.concurrency}", f"s{seed}"])


def _resolve(path: str) -> str:
    return str(Path(path).resolve())


_PIECE = re.compile(r"(\d+)(?:\.\.(\d+))?")


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the whole numbers in *text*: ``1,2,4`` or ``1..20`` or both, each once, in order.

    Raises:
        UsageError: it is not a list of numbers; the message names *option*.
    """
    found: dict[int, None] = {}
    for piece in text.split(","):
        match = _PIECE.fullmatch(piece.strip())
        if match is None:
            raise UsageError(
                f"{option} {text!r} is not a list of numbers", advice="Examples: 8, or 1,2,4,8, or 1..20."
            )
        first = int(match[1])
        last = int(match[2] or first)
        if last < first:
            raise UsageError(f"{option} {text!r}: {piece.strip()} is not a range", advice="Example: 1..20.")
        if last - first >= LARGEST:
            raise UsageError(f"{option} {text!r}: a range has at most {LARGEST:,} numbers")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def concurrencies(text: str) -> tuple[int, ...]:
    """Return the numbers of virtual users in *text*, a list as above.

    Raises:
        UsageError: it is not a list of numbers, or no run can have as many.
    """
    found = numbers(text, "--concurrency")
    for one in found:
        assemble(RunSpec, {"concurrency": one})
    return found


def seconds(text: str, option: str) -> float:
    """Return the seconds of *text*: ``90s``, ``10m``, ``1h30m``.

    Raises:
        UsageError: it is not a duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from error
