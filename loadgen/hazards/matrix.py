"""The matrix of hazards: how often each replays identically in each setup, and whose limit it is if not.

Format ``loadgen-hazards/1``, written by ``loadgen hazards --json``: see :meth:`Matrix.to_json`.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = "loadgen-hazards/1"


class Setup(enum.StrEnum):
    """Which parts of loadgen are in the recorded and replayed server; the request boundary always is."""

    ALONE = "alone"
    """Only the engine, without workarounds."""
    PARALLEL = "parallel"
    """With workarounds; the server's threads run as usual."""
    TURNS = "turns"
    """With workarounds, and one thread of the server at a time while recording: the default."""


class Whose(enum.StrEnum):
    """Classification of a hazard by the measurement."""

    REPLAYED = "replayed"
    """It replays identically, with the engine alone as well if that was measured."""
    CLOSED = "closed"
    """It replays with loadgen, but not with the engine alone."""
    TURNS = "turns"
    """It replays with loadgen only if it was recorded in turns."""
    ENGINE = "engine"
    """It does not replay identically, although an engine could make it."""
    INHERENT = "inherent"
    """It does not replay, and no engine could make it: see the argument."""


class Often(enum.StrEnum):
    """How often the runs of a cell fail."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class HazardCell:
    """The results of one hazard in one setup at one concurrency."""

    runs: int = 0
    failed: int = 0
    """Runs that were not identical, had no verdict, or were broken by the recording."""
    untold: int = 0
    """Runs without a verdict: the recording failed, or the replay died or hung."""
    requests: int = 0
    """Requests to the hazard in runs with a verdict."""
    differing: int = 0
    """Answers to these requests that differ."""
    broken: int = 0
    """Recorded answers that the application would not give without the engine."""
    message: str = ""
    """Why the first failed run failed."""

    @property
    def often(self) -> Often:
        """How often it fails."""
        if not self.failed:
            return Often.NEVER
        return Often.ALWAYS if self.failed == self.runs else Often.SOMETIMES

    def __add__(self, other: HazardCell) -> HazardCell:
        numbers = ("runs", "failed", "untold", "requests", "differing", "broken")
        total = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return HazardCell(**total, message=self.message or other.message)


@dataclass(frozen=True, slots=True)
class HazardRow:
    """One hazard."""

    name: str
    kind: str
    shows: str
    why: str = ""
    """Why it does not replay, if known; for an inherent one, why it cannot."""
    inherent: bool = False
    """Whether no engine could make it replay."""
    cells: dict[Setup, dict[int, HazardCell]] = field(default_factory=dict)
    """The results by setup and concurrency."""

    def fails(self, setup: Setup) -> bool | None:
        """Whether any run failed in *setup*; None if nothing was measured."""
        cells = [cell for cell in self.cells.get(setup, {}).values() if cell.runs]
        return any(cell.failed for cell in cells) if cells else None

    @property
    def fails_at_best(self) -> bool | None:
        """Whether it fails in the best measured setup of loadgen; None if there is none."""
        turns = self.fails(Setup.TURNS)
        return self.fails(Setup.PARALLEL) if turns is None else turns

    @property
    def whose(self) -> Whose | None:
        """The classification; None if it was not measured with loadgen."""
        if self.fails_at_best is None:
            return None
        if self.fails_at_best:
            return Whose.INHERENT if self.inherent else Whose.ENGINE
        if self.fails(Setup.PARALLEL):
            return Whose.TURNS
        return Whose.CLOSED if self.fails(Setup.ALONE) else Whose.REPLAYED


@dataclass(frozen=True, slots=True)
class Matrix:
    """All results, with the versions."""

    versions: dict[str, str]
    rows: tuple[HazardRow, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    """Hazards that were not measured, and why."""

    def cells(self) -> Iterator[tuple[str, Setup, int, HazardCell]]:
        """Yield each measured cell with its row, setup and concurrency."""
        for row in self.rows:
            for setup, by_concurrency in row.cells.items():
                for concurrency, cell in by_concurrency.items():
                    if cell.runs:
                        yield row.name, setup, concurrency, cell

    def to_json(self) -> dict[str, Any]:
        """Return the matrix as a JSON object."""
        rows = [{**asdict(row), "whose": row.whose} for row in self.rows]
        return {"format": FORMAT, "versions": self.versions, "hazards": rows, "skipped": self.skipped}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Matrix:
        """Decode a matrix from the output of :meth:`to_json`.

        Raises:
            ValueError, TypeError, KeyError: it is not one.
        """
        if content["format"] != FORMAT:
            raise ValueError(f"the format is {content['format']!r}, not {FORMAT!r}")
        return cls(content["versions"], tuple(map(_row, content["hazards"])), content["skipped"])


def _row(content: Mapping[str, Any]) -> HazardRow:
    fields = {key: value for key, value in content.items() if key != "whose"}
    cells = {
        Setup(setup): {int(concurrency): HazardCell(**cell) for concurrency, cell in by_concurrency.items()}
        for setup, by_concurrency in fields.pop("cells").items()
    }
    return HazardRow(**fields, cells=cells)


def unexpected(measured: Matrix, expected: Matrix) -> list[str]:
    """Return the cells in which *measured* contradicts *expected*, which may contain more cells.

    A cell that never failed is contradicted by a failure, one that always failed by runs without a failure. A
    cell that failed sometimes is never contradicted.
    """
    known = {(name, setup, concurrency): cell for name, setup, concurrency, cell in expected.cells()}
    found = []
    for name, setup, concurrency, cell in measured.cells():
        where = f"{name}, {setup}, {concurrency} at a time"
        before = known.get((name, setup, concurrency))
        if before is None:
            found.append(f"{where}: not in what is expected")
        elif before.often is Often.NEVER and cell.failed:
            found.append(f"{where}: {cell.failed} of {cell.runs} runs failed, none expected: {cell.message}")
        elif before.often is Often.ALWAYS and not cell.failed:
            found.append(f"{where}: none of {cell.runs} runs failed, all expected to")
    return found
