"""Measuring: what a run comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import anyio

from loadgen.cli.hazards import table
from loadgen.core.stop import Stop
from loadgen.core.verdict import Judgement
from loadgen.hazards import measuring
from loadgen.hazards.matrix import HazardCell, Matrix, Setup
from loadgen.hunt.trial import TrialResult

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_failed_runs_are_named_where_there_are_some(tmp_path: Path) -> None:
    """The matrix itself is in the same folder."""
    (tmp_path / "hazards.json").touch()
    assert "runs that failed" not in table(Matrix({}, ()), tmp_path)
    (tmp_path / "uuid4-c1-turns-1").mkdir()
    assert "runs that failed" in table(Matrix({}, ()), tmp_path)


def test_a_run_that_was_interrupted_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not in the matrix, and leaves no folder; what was measured before is."""
    stop = Stop()

    class Interrupted:
        """Its second trial is interrupted."""

        slots = 1

        def __init__(self, jobs: int) -> None:
            self.results = [
                TrialResult(judgement=one) for one in (Judgement.DIVERGED, Judgement.UNDETERMINED)
            ]

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *exc_info: object) -> None: ...

        async def run(self, plan: Any, folder: Path, *, limit: float) -> TrialResult:
            folder.mkdir()
            result = self.results.pop(0)
            stop.requested = result.judgement is Judgement.UNDETERMINED
            return result

    monkeypatch.setattr(measuring, "LocalFleet", Interrupted)
    settings = measuring.HazardSettings(
        names=("uuid4",), setups=(Setup.TURNS,), concurrency=(1, 8), requests=8, runs=1, jobs=1, timeout=1
    )
    found = anyio.run(measuring.measure, settings, tmp_path, stop, lambda *_: None)
    assert found.interrupted
    assert found.matrix.rows[0].cells == {Setup.TURNS: {1: HazardCell(runs=1, failed=1, requests=8)}}
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == ["uuid4-c1-turns-1"]
