"""The matrix of hazards: how often each replays identically in which setup, and whose it is if it does not.

Format ``loadgen-hazards/1``, as ``loadgen hazards --json`` writes it: see :meth:`Matrix.to_json`.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = "loadgen-hazards/1"


class Setup(enum.StrEnum):
    """With what of loadgen a server is recorded and replayed; the request boundary is in all of them."""

    ALONE = "alone"
    """The engine as it comes: every gap of it is open."""
    PARALLEL = "parallel"
    """Its gaps closed, and the server's threads left to run as they do."""
    TURNS = "turns"
    """Its gaps closed, and one of the server's threads at a time while it is recorded: the default."""


class Whose(enum.StrEnum):
    """What the measurement says of a hazard."""

    REPLAYED = "replayed"
    """It replays identically, with the engine alone as well if that was measured."""
    CLOSED = "closed"
    """It does not with the engine alone, and does with loadgen."""
    TURNS = "turns"
    """It does with loadgen if it was recorded in turns, and else does not."""
    ENGINE = "engine"
    """It does not replay identically, and a record/replay engine could make it."""
    INHERENT = "inherent"
    """It does not, nor can it: see the argument."""


class Often(enum.StrEnum):
    """How often the runs of a cell fail."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class HazardCell:
    """What came of the runs of one hazard in one setup at one concurrency."""

    runs: int = 0
    failed: int = 0
    """Runs that were not identical, or not told, or in which recording broke the application."""
    untold: int = 0
    """Runs without an answer to the question: the recording failed, the replay died or is stuck."""
    requests: int = 0
    """Requests to the hazard, of runs that were told."""
    differing: int = 0
    """Answers to them that differ."""
    broken: int = 0
    """Answers of the application, while it was recorded, that it would not give without the engine."""
    message: str = ""
    """Why the first failed run did."""

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
    """Why it does not replay, where that is known; for an inherent one, why it cannot."""
    inherent: bool = False
    """Whether it is argued that no engine could make it replay."""
    cells: dict[Setup, dict[int, HazardCell]] = field(default_factory=dict)
    """What was measured, by setup and concurrency."""

    def fails(self, setup: Setup) -> bool | None:
        """Say whether any run failed in *setup*; none where nothing was measured."""
        cells = [cell for cell in self.cells.get(setup, {}).values() if cell.runs]
        return any(cell.failed for cell in cells) if cells else None

    @property
    def fails_at_best(self) -> bool | None:
        """Say whether it fails in the best setup of loadgen's that was measured; none where none was."""
        turns = self.fails(Setup.TURNS)
        return self.fails(Setup.PARALLEL) if turns is None else turns

    @property
    def whose(self) -> Whose | None:
        """What the measurement says; none where it was not measured with loadgen."""
        if self.fails_at_best is None:
            return None
        if self.fails_at_best:
            return Whose.INHERENT if self.inherent else Whose.ENGINE
        if self.fails(Setup.PARALLEL):
            return Whose.TURNS
        return Whose.CLOSED if self.fails(Setup.ALONE) else Whose.REPLAYED


@dataclass(frozen=True, slots=True)
class Matrix:
    """What was measured, and on what."""

    versions: dict[str, str]
    rows: tuple[HazardRow, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    """Hazards that were not measured, and why."""

    def cells(self) -> Iterator[tuple[str, Setup, int, HazardCell]]:
        """Yield each measured cell with where it stands."""
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
        """Return the matrix that :meth:`to_json` gave *content* of.

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
    """Say in which cells *measured* contradicts *expected*, which may hold more than was measured.

    A cell that fails sometimes is contradicted by nothing; one that never does, by a failure; one that always
    does, by runs of which none fails.
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
