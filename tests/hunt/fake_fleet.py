"""A fleet without processes: the test sets the result of each trial."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from loadgen.core.verdict import Judgement
from loadgen.hunt.trial import TrialCause, TrialPlan, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDENTICAL = TrialResult(judgement=Judgement.IDENTICAL, requests=10, sessions=(2.0, 1.0))
TOKEN = TrialCause(
    "application", "POST /x/N: body:$.token differs", "request 3 (POST /x/1): ...", "because", 2
)
DIVERGED = TrialResult(
    judgement=Judgement.DIVERGED, requests=10, diverged=2, causes=(TOKEN,), message="request 3 …"
)
LOST = TrialResult(
    judgement=Judgement.UNDETERMINED, causes=(TrialCause("engine", "crashed", "crashed", "", 0),)
)


@dataclass
class FakeFleet:
    """Answers each plan by *outcome*; remembers what it was asked, and how much at a time."""

    outcome: Callable[[TrialPlan], TrialResult | Exception]
    slots: int = 2
    name: str = "a fake"
    asked: list[TrialPlan] = field(default_factory=list)
    most: int = 0
    _open: int = 0

    async def run(self, plan: TrialPlan, folder: Path, *, limit: float) -> TrialResult:
        """Leave a file, and return or raise the outcome."""
        folder.mkdir(parents=True)
        (folder / "made").touch()
        self.asked.append(plan)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._open -= 1
        outcome = self.outcome(plan)
        if isinstance(outcome, Exception):
            raise outcome
        return TrialResult.from_json({**outcome.to_json(), "folder": str(folder), "command": plan.command})


def seed(plan: TrialPlan) -> int:
    """Return the seed of a trial."""
    return plan.record.load.seed
