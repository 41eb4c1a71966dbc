"""The matrix of hazards as text: a word for each cell, and a Markdown table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.hazards.matrix import Whose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.hazards.matrix import HazardCell, HazardRow, Matrix, Setup

WHOSE = {
    None: "",
    Whose.REPLAYED: "",
    Whose.CLOSED: "closed by loadgen",
    Whose.TURNS: "closed by turns",
    Whose.ENGINE: "the engine's",
    Whose.INHERENT: "inherent",
}
LEGEND = (
    "=: identical. 3/48: number of differing answers. lost: no verdict, because the recording failed, or the "
    "replay died or hung. broken: answers that the application gives only while it is recorded. order: only "
    "the order differs."
)


def columns(matrix: Matrix) -> list[tuple[Setup, int]]:
    """Return the measured setups and concurrencies, in order."""
    return sorted({(setup, concurrency) for _, setup, concurrency, _ in matrix.cells()})


def cell(row: HazardRow, setup: Setup, concurrency: int) -> str:
    """Return the result of a cell in one word."""
    measured = row.cells.get(setup, {}).get(concurrency)
    if measured is None or not measured.runs:
        return "-"
    return _failed(measured) if measured.failed else "="


def _failed(of: HazardCell) -> str:
    parts = (
        f"{of.failed}/{of.runs} runs" if of.runs > 1 else "",
        f"{of.differing}/{of.requests}" if of.differing else "",
        "" if not of.untold else "lost" if of.untold == of.runs else f"{of.untold} lost",
        f"{of.broken} broken" if of.broken else "",
    )
    return ", ".join(part for part in parts if part) or "order"


def markdown(matrix: Matrix) -> str:
    """Return the matrix as a Markdown table, followed by the reasons why hazards do not replay."""
    shown = columns(matrix)
    heads = ["hazard", *(f"{setup}, {concurrency}" for setup, concurrency in shown), ""]
    lines = [_line(heads), _line(["---"] * len(heads))]
    lines += [
        _line([f"`{row.name}`: {_text(row.shows)}", *(cell(row, *at) for at in shown), WHOSE[row.whose]])
        for row in matrix.rows
    ]
    lines += ["", LEGEND, "", _measured_on(matrix)]
    lines += [f"\n- `{row.name}`: {row.why}" for row in matrix.rows if row.why and row.fails_at_best]
    lines += [f"\n- `{name}` was not measured: {why}" for name, why in matrix.skipped.items()]
    return "\n".join(lines) + "\n"


def _measured_on(matrix: Matrix) -> str:
    found = matrix.versions
    runs = sorted({measured.runs for *_, measured in matrix.cells()})
    often = " or ".join(map(str, runs)) + (" run" if runs == [1] else " runs")
    return (
        f"Measured in {often} of each with loadgen {found['loadgen']} (boundary {found['boundary']}), "
        f"{found['engine']}, CPython {found['python'].split()[0]}, {found['platform']}."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(shows: str) -> str:
    return shows.replace("``", "`").rstrip(".").replace("|", "\\|")
