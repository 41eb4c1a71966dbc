"""The matrix: results are added up, classified, and compared with the expected ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadgen.hazards.matrix import HazardCell, HazardRow, Matrix, Often, Setup, Whose, unexpected

SAME = HazardCell(runs=2, requests=96)
FLAKY = HazardCell(runs=2, failed=1, requests=96, differing=3, message="an answer")
BAD = HazardCell(runs=2, failed=2, requests=96, differing=96, message="an answer")


def row(*measured: HazardCell | None, inherent: bool = False) -> HazardRow:
    """Return a row measured in the setups, in their order, at one concurrency."""
    cells = {setup: {8: cell} for setup, cell in zip(Setup, measured, strict=False) if cell is not None}
    return HazardRow("one", "values", "shows one", inherent=inherent, cells=cells)


def matrix(**cells: HazardCell) -> Matrix:
    """Return a matrix with one cell a hazard."""
    rows = (HazardRow(name, "values", "", cells={Setup.PARALLEL: {8: cell}}) for name, cell in cells.items())
    return Matrix({"python": "3.11"}, tuple(rows))


@pytest.mark.parametrize(
    ("alone", "parallel", "turns", "whose"),
    [
        (SAME, SAME, SAME, Whose.REPLAYED),
        (None, SAME, None, Whose.REPLAYED),
        (FLAKY, SAME, None, Whose.CLOSED),
        (BAD, SAME, SAME, Whose.CLOSED),
        (BAD, FLAKY, SAME, Whose.TURNS),
        (SAME, BAD, SAME, Whose.TURNS),
        (BAD, BAD, None, Whose.ENGINE),
        (BAD, BAD, FLAKY, Whose.ENGINE),
        (SAME, SAME, BAD, Whose.ENGINE),
        (BAD, None, SAME, Whose.CLOSED),
        (BAD, None, None, None),
        (BAD, HazardCell(), None, None),
    ],
)
def test_whose_it_is(
    alone: HazardCell | None, parallel: HazardCell | None, turns: HazardCell | None, whose: Whose | None
) -> None:
    """It follows from which setup fails; without a measurement of loadgen nothing does."""
    assert row(alone, parallel, turns).whose is whose


def test_inherent_is_argued_and_measured() -> None:
    """The argument alone makes nothing inherent: what replays identically does."""
    assert row(BAD, BAD, inherent=True).whose is Whose.INHERENT
    assert row(BAD, SAME, inherent=True).whose is Whose.CLOSED


def test_cells_add_up() -> None:
    """Runs of one cell are counted together, and the first failure is the one that is told."""
    total = SAME + FLAKY + HazardCell(runs=1, failed=1, untold=1, message="it is stuck")
    assert total == HazardCell(runs=5, failed=2, untold=1, requests=192, differing=3, message="an answer")
    assert [cell.often for cell in (SAME, total, BAD, HazardCell())] == [
        Often.NEVER,
        Often.SOMETIMES,
        Often.ALWAYS,
        Often.NEVER,
    ]


def test_json_round_trip() -> None:
    """A matrix survives being saved."""
    made = Matrix({"engine": "1"}, (row(BAD, SAME, inherent=True),), {"other": "requests is not installed"})
    saved = json.loads(json.dumps(made.to_json()))
    assert saved["hazards"][0]["whose"] == "closed"
    assert Matrix.from_json(saved) == made


@pytest.mark.parametrize("damage", [{"format": "loadgen-hazards/0"}, {"hazards": [{"name": "one"}]}])
def test_a_damaged_matrix_is_an_error(damage: dict[str, Any]) -> None:
    """What is no matrix is not taken for one."""
    with pytest.raises((ValueError, TypeError, KeyError)):
        Matrix.from_json(matrix(one=SAME).to_json() | damage)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (SAME, SAME, []),
        (SAME, FLAKY, ["one, parallel, 8 at a time: 1 of 2 runs failed, none expected: an answer"]),
        (FLAKY, SAME, []),
        (FLAKY, BAD, []),
        (BAD, SAME, ["one, parallel, 8 at a time: none of 2 runs failed, all expected to"]),
        (BAD, FLAKY, []),
        (HazardCell(), SAME, ["one, parallel, 8 at a time: not in what is expected"]),
    ],
)
def test_expectations(before: HazardCell, now: HazardCell, told: list[str]) -> None:
    """What never failed must not fail, what always did must not pass; in between there is no telling."""
    assert unexpected(matrix(one=now), matrix(one=before, other=SAME)) == told
