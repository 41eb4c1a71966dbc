"""A fleet without processes: what comes of a trial is told by the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from loadgen.core.verdict import Judgement
from loadgen.hunt.trial import Found, Plan, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDENTICAL = Result(judgement=Judgement.IDENTICAL, requests=10, sessions=(2.0, 1.0))
TOKEN = Found("application", "POST /x/N: body:$.token differs", "request 3 (POST /x/1): ...", "because", 2)
DIVERGED = Result(
    judgement=Judgement.DIVERGED, requests=10, diverged=2, causes=(TOKEN,), message="request 3 …"
)
LOST = Result(judgement=Judgement.UNDETERMINED, causes=(Found("engine", "crashed", "crashed", "", 0),))


@dataclass
class FakeFleet:
    """Answers each plan by *outcome*; remembers what it was asked, and how much at a time."""

    outcome: Callable[[Plan], Result | Exception]
    slots: int = 2
    name: str = "a fake"
    asked: list[Plan] = field(default_factory=list)
    most: int = 0
    _open: int = 0

    async def run(self, plan: Plan, folder: Path, *, limit: float) -> Result:
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
        return Result.from_json({**outcome.to_json(), "folder": str(folder), "command": plan.command})


def seed(plan: Plan) -> int:
    """Return the seed of a trial."""
    return plan.record.load.seed
