"""The published hazards are the measured ones, and every failure has a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadgen.hazards.matrix import HazardCell, HazardRow, Matrix, Often, Setup, Whose
from loadgen.hazards.measuring import INHERENT, OPEN
from loadgen.hazards.tables import cell, markdown
from server_app.hazards import HAZARDS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def published() -> Matrix:
    """Return the matrix that the documentation publishes."""
    return Matrix.from_json(json.loads((DOCS / "hazards.json").read_text(encoding="utf-8")))


def test_the_page_shows_what_was_measured(published: Matrix) -> None:
    """The table in the page is that of the measurement, of all hazards that there are."""
    assert markdown(published) in (DOCS / "hazards.md").read_text(encoding="utf-8")
    assert [row.name for row in published.rows] == [name for name in HAZARDS if name not in published.skipped]
    assert {setup for _, setup, _, _ in published.cells()} == set(Setup)


def test_inherent_are_those_that_are_argued(published: Matrix) -> None:
    """What is argued to be inherent fails in every run in every setup; what else fails is the engine's."""
    inherent = {row.name for row in published.rows if row.whose is Whose.INHERENT}
    assert inherent == set(INHERENT) - set(published.skipped)
    for name, setup, concurrency, measured in published.cells():
        if name in INHERENT:
            assert measured.often is Often.ALWAYS, (name, setup, concurrency)


def test_every_failure_has_its_reason(published: Matrix) -> None:
    """What does not replay says why, and what replays has no stale excuse."""
    engines = {row.name for row in published.rows if row.whose is Whose.ENGINE}
    assert engines == set(OPEN) - set(published.skipped)
    assert not set(OPEN) & set(INHERENT)


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (HazardCell(), "-"),
        (HazardCell(runs=3, requests=144), "="),
        (HazardCell(runs=1, failed=1, requests=48, differing=3), "3/48"),
        (HazardCell(runs=3, failed=2, requests=144, differing=30), "2/3 runs, 30/144"),
        (HazardCell(runs=1, failed=1, untold=1), "lost"),
        (HazardCell(runs=3, failed=3, untold=1, requests=96, differing=9), "3/3 runs, 9/96, 1 lost"),
        (HazardCell(runs=1, failed=1, requests=48, broken=2), "2 broken"),
        (HazardCell(runs=1, failed=1, requests=48), "order"),
    ],
)
def test_cells_in_a_word(measured: HazardCell, told: str) -> None:
    """A cell says at which rate it failed, of answers and of runs."""
    assert cell(HazardRow("one", "", "", cells={Setup.TURNS: {8: measured}}), Setup.TURNS, 8) == told
