"""Fleets: where trials run, several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from loadgen.hunt import trial
from loadgen.hunt.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.hunt.trial import TrialPlan, TrialResult


class Fleet(Protocol):
    """Runs trials, up to :attr:`slots` at a time."""

    slots: int
    """Maximum number of concurrent trials."""
    name: str
    """Name of the fleet in a summary."""

    async def run(self, plan: TrialPlan, folder: Path, *, limit: float) -> TrialResult:
        """Try *plan*, see :func:`loadgen.hunt.trial.run`; *folder* keeps its files unless it was identical.

        Raises:
            LoadgenError: no trial can be made here.
        """


class LocalFleet:
    """This machine. Use it with ``async with``."""

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self.name = f"here, {jobs} at a time"
        self.workers = Workers()

    async def __aenter__(self) -> Self:
        """Return itself."""
        await self.workers.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the workers' processes."""
        await self.workers.__aexit__(*exc_info)

    async def run(self, plan: TrialPlan, folder: Path, *, limit: float) -> TrialResult:
        """Try *plan* in *folder*."""
        return await trial.run(plan, folder, self.workers, limit=limit)
