"""The search for a race: many short trials, strategies in rotation, until something breaks or time is up.

The first trial never switches threads: it measures the number of steps of each kind of request, and shows
failures that are not races.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from loadgen.core import schedules
from loadgen.core.spec import Explore, Schedule
from loadgen.errors import Undetermined
from loadgen.hunt.races.trial import Tried, attempt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadgen.core.invariants import Invariant
    from loadgen.core.spec import RunSpec
    from loadgen.core.stop import Stop
    from loadgen.hunt.fleet import Fleet

ROTATION = ("pause:2", "pct:3", "random:0.1", "pause:3", "pct:2", "random:0.3")
"""Strategies, one per trial. Those that stop a request once or twice come first, as most races need no
more."""
FOUND = "found"
"""Where in the folder of a hunt the trial is kept that found something."""
FAILED = "failed"
"""The same for the last trial that could not be recorded."""
SMALLEST = "smallest"
"""The same for the smallest case that fails."""
LIMIT = 120.0
"""Time limit of a trial, in seconds."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings of a search."""

    spec: RunSpec
    """What to record; the settings of the schedule are replaced, except for the points."""
    invariants: tuple[Invariant, ...]
    folder: Path
    fleet: Fleet
    """Runs the trials of the search; what is found is reduced on this machine."""
    seconds: float = 300.0
    """Start no trial after this time."""
    seed: int = 1
    """Seed of the first trial; each later trial has the next one."""
    limit: float = LIMIT
    most: int | None = None
    """Make no more trials than this."""
    strategies: tuple[str, ...] = ROTATION


@dataclass(slots=True)
class Hunted:
    """The result of a search."""

    trials: int = 0
    requests: int = 0
    failed: int = 0
    """Number of trials that could not be recorded."""
    why: str = ""
    """Why the last of those trials failed."""
    measured: dict[str, int] = field(default_factory=dict)
    found: Tried | None = None
    spec: RunSpec | None = None
    """The specification of the failing trial."""
    seconds: float = 0.0
    """How long the search took, including time before an interruption."""
    without_race: bool = False
    """Whether it also breaks without thread switches."""
    unchecked: dict[str, str] = field(default_factory=dict)
    """Invariants that were undetermined in every trial, and why in the first."""


async def hunt(
    setting: Setting,
    stop: Stop,
    see: Callable[[Hunted, str, Tried], None],
    hunted: Hunted | None = None,
) -> Hunted:
    """Try until something breaks, time is up, or *stop* is requested; *see* is told of each trial.

    *hunted* is how far an interrupted hunt came, which goes on.
    """
    hunted = hunted or Hunted()
    if hunted.found is not None:
        return hunted
    began = monotonic() - hunted.seconds
    if not hunted.measured:
        await _measure(setting, hunted, began, see)
    if hunted.found is None:
        await _rotate(setting, hunted, began, stop, see)
    return hunted


async def _measure(
    setting: Setting, hunted: Hunted, began: float, see: Callable[[Hunted, str, Tried], None]
) -> None:
    first = exploring(setting.spec, strategy="none", seed=setting.seed)
    tried = await attempt(setting.fleet, first, setting.folder / "0", setting.invariants, setting.limit)
    hunted.measured = schedules.steps(tried.entries)
    if tried.broken:
        hunted.found, hunted.spec = _found(setting, tried), first
        hunted.without_race = not any(choice.is_timing for choice in tried.choices)
    elif not tried.failure:
        shutil.rmtree(setting.folder / "0", ignore_errors=True)
    _count(hunted, tried, began)
    see(hunted, "none", tried)
    if tried.failure:  # without any choice, as it would fail in every trial
        raise Undetermined(f"the first trial could not be recorded: {tried.failure}", advice=tried.advice)


def _found(setting: Setting, tried: Tried) -> Tried:
    """Move the files of a trial that found something to their place."""
    kept = setting.folder / FOUND
    shutil.rmtree(kept, ignore_errors=True)
    tried.run.parent.rename(kept)
    return dataclasses.replace(tried, run=kept / tried.run.name)


async def _rotate(
    setting: Setting,
    hunted: Hunted,
    began: float,
    stop: Stop,
    see: Callable[[Hunted, str, Tried], None],
) -> None:
    number = max(hunted.trials - 1, 0)
    errors: list[Exception] = []

    async def keep_trying(scope: anyio.CancelScope) -> None:
        nonlocal number
        while not stop.requested and monotonic() - began < setting.seconds:
            if setting.most is not None and number >= setting.most:
                return
            mine, number = number, number + 1
            strategy = setting.strategies[mine % len(setting.strategies)]
            spec = exploring(
                setting.spec, strategy=strategy, seed=setting.seed + mine, measured=hunted.measured
            )
            folder = setting.folder / str(mine + 1)
            try:
                tried = await attempt(setting.fleet, spec, folder, setting.invariants, setting.limit)
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                errors.append(error)
                scope.cancel()
                return
            if tried.broken and hunted.found is None:
                hunted.found, hunted.spec = _found(setting, tried), spec
                scope.cancel()
            _count(hunted, tried, began)
            see(hunted, strategy, tried)
            if hunted.found is not None:
                return
            if tried.failure and folder.is_dir():
                shutil.rmtree(setting.folder / FAILED, ignore_errors=True)
                folder.rename(setting.folder / FAILED)
            shutil.rmtree(folder, ignore_errors=True)

    async with anyio.create_task_group() as group:
        for _ in range(setting.fleet.slots):
            group.start_soon(keep_trying, group.cancel_scope)
    if errors:
        raise errors[0]


def exploring(
    spec: RunSpec,
    *,
    strategy: str = "none",
    seed: int = 1,
    measured: dict[str, int] | None = None,
    script: Path | None = None,
    trace: bool = False,
) -> RunSpec:
    """Return *spec* with these settings of the schedule."""
    how = Explore(
        strategy=strategy,
        points=spec.explore.points,
        schedule_seed=seed,
        script=None if script is None else str(script),
        measured=measured or {},
        trace=trace,
    )
    return replace(spec, schedule=Schedule.EXPLORE, explore=how)


def _count(hunted: Hunted, tried: Tried, began: float) -> None:
    hunted.trials += 1
    hunted.seconds = monotonic() - began
    hunted.requests += tried.requests
    if tried.failure:
        hunted.failed += 1
        hunted.why = tried.failure
        return
    unchecked = {one.invariant: one.message for one in tried.checked if one.holds is None}
    if hunted.trials - hunted.failed == 1:
        hunted.unchecked = unchecked
    hunted.unchecked = {name: why for name, why in hunted.unchecked.items() if name in unchecked}
