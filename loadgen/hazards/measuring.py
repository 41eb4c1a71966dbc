"""Records and verifies each hazard of the bundled server, with and without loadgen's workarounds."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import anyio
from msgspec import structs

from loadgen.core.spec import BUNDLED, Load, RunSpec, ScenarioTraffic, Schedule, VerifySpec
from loadgen.core.verdict import Judgement
from loadgen.engine import retrace
from loadgen.errors import LoadgenError, UsageError
from loadgen.hazards.matrix import HazardCell, HazardRow, Matrix, Setup
from loadgen.hunt import trial
from loadgen.hunt.fleet import LocalFleet
from loadgen.store.files import write_json
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from loadgen.core.stop import Stop

OK = 200
LIMIT = 120.0
"""Time limit of a recording or a replay, in seconds."""
VERSIONS = ("loadgen", "engine", "boundary", "python", "platform")
"""The versions that a matrix is valid for."""
SPECS = {
    Setup.ALONE: RunSpec(engine_alone=True),
    Setup.PARALLEL: RunSpec(schedule=Schedule.PARALLEL),
    Setup.TURNS: RunSpec(schedule=Schedule.TURNS),
}
"""How each setup is recorded."""

_ADDRESS = (
    "an address in the memory of this process. Nothing outside is asked for it: there is no call to record. "
    "A replay's memory holds more than the recorded process's: the tape, for one"
)
INHERENT = {
    "object_id": _ADDRESS,
    "object_repr": _ADDRESS,
    "thread_ident": f"{_ADDRESS}; the interpreter itself tells its threads apart by it, as a lock its owner",
}
"""Hazards that no engine can replay, and why."""
OPEN = {
    "asyncio_as_completed": "the same as of hash_of_objects: it puts coroutines into a set",
    "log_record": "logging notes when it was imported, which is before anything is recorded",
    "hash_of_objects": "the engine numbers the hashes of object itself, and not those of classes made of it",
    "signal_timer": "the replay takes the result of setting the timer from the tape, and sets none",
    "signal_to_itself": "the replay takes the result of sending the signal from the tape, and sends none",
}
"""Hazards that this engine does not replay although one could, and why, if known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardSettings:
    """What to measure."""

    names: tuple[str, ...]
    setups: tuple[Setup, ...]
    concurrency: tuple[int, ...]
    requests: int
    """Requests to each hazard, in each run."""
    runs: int
    """Runs of each hazard, in each setup, at each concurrency."""
    jobs: int
    """Number of runs at a time."""
    timeout: float
    """Seconds without an answer after which a replay counts as hung."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of a measurement."""

    matrix: Matrix
    interrupted: bool


@dataclass(frozen=True, slots=True)
class HazardRun:
    """One run to be made."""

    name: str
    setup: Setup
    concurrency: int
    number: int

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.name}-c{self.concurrency}-{self.setup}-{self.number}"


def select(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the hazards with a name or kind in *wanted*; all if it is empty.

    Raises:
        UsageError: there is no such hazard or kind.
    """
    from server_app.hazards import HAZARDS  # noqa: PLC0415 - it imports much

    names = list(wanted)
    known = {*HAZARDS, *(each.kind for each in HAZARDS.values())}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"there is no hazard {', '.join(unknown)}", advice="They are listed by: loadgen hazards --list"
        )
    return tuple(
        each.name for each in HAZARDS.values() if not names or each.name in names or each.kind in names
    )


async def measure(
    settings: HazardSettings,
    folder: Path,
    stop: Stop,
    seen: Callable[[HazardRun, HazardCell, int, int], None],
) -> Measurement:
    """Record and verify each hazard in a separate run, and keep failing runs in *folder*.

    Setting *stop* ends it early, with the results so far. *seen* is called after each run with its result,
    the number of finished runs, and their total.
    """
    from server_app.hazards import HAZARDS  # noqa: PLC0415

    missing = {
        name: f"{HAZARDS[name].needs} is not installed"
        for name in settings.names
        if HAZARDS[name].needs and importlib.util.find_spec(HAZARDS[name].needs) is None
    }
    trials = [one for one in _trials(settings) if one.name not in missing]
    versions = {name: found for name, found in retrace.versions().items() if name in VERSIONS}
    matrix = Matrix(versions, tuple(map(_row, settings.names)), missing)
    cells = {row.name: row.cells for row in matrix.rows}
    pending, done = takewhile(lambda _: not stop.requested, trials), 0

    async def work(fleet: LocalFleet) -> None:
        nonlocal done
        for one in pending:
            cell = await _run(one, settings, folder / one.folder, fleet)
            if stop.requested and cell.untold:  # not lost: Ctrl-C reaches its processes, too
                shutil.rmtree(folder / one.folder, ignore_errors=True)
                return
            at = cells[one.name].setdefault(one.setup, {})
            at[one.concurrency] = at.get(one.concurrency, HazardCell()) + cell
            done += 1
            write_json(folder / "hazards.json", matrix.to_json())
            seen(one, cell, done, len(trials))

    async with LocalFleet(settings.jobs) as fleet, anyio.create_task_group() as workers:
        for _ in range(fleet.slots):
            workers.start_soon(work, fleet)
    return Measurement(matrix, stop.requested)


def _row(name: str) -> HazardRow:
    from server_app.hazards import HAZARDS  # noqa: PLC0415

    known = HAZARDS[name]
    return argued(HazardRow(name, known.kind, known.shows))


def argued(row: HazardRow) -> HazardRow:
    """Return *row* with the reason why it does not replay, if known."""
    why = INHERENT.get(row.name) or OPEN.get(row.name, "")
    return replace(row, why=why, inherent=row.name in INHERENT)


def _trials(settings: HazardSettings) -> Iterator[HazardRun]:
    for number in range(1, settings.runs + 1):
        for name in settings.names:
            for setup in settings.setups:
                for concurrency in settings.concurrency:
                    yield HazardRun(name, setup, concurrency, number)


async def _run(one: HazardRun, settings: HazardSettings, folder: Path, fleet: LocalFleet) -> HazardCell:
    """Make one run, and delete its folder unless it failed."""
    turns = max(1, settings.requests // one.concurrency)
    spec = structs.replace(
        SPECS[one.setup],
        target=(BUNDLED, "--hazards", one.name),
        traffic=ScenarioTraffic(scenario="hazards"),
        load=Load(concurrency=one.concurrency, iterations=turns),
    )
    plan = trial.TrialPlan(spec, VerifySpec(timeout=settings.timeout))
    result = await fleet.run(plan, folder, limit=LIMIT)
    told = result.judgement is not Judgement.UNDETERMINED
    broken = _broken(folder / trial.RUN)
    failed = result.judgement is not Judgement.IDENTICAL or bool(broken)
    message = result.message or (f"{broken} answers were not 200 while recording" if broken else "")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return HazardCell(
        runs=1,
        failed=int(failed),
        untold=int(not told),
        requests=turns * one.concurrency if told else 0,
        differing=result.diverged,
        broken=broken,
        message=message,
    )


def _broken(run: Path) -> int:
    """Return the number of recorded answers other than 200: no hazard gives such an answer by itself."""
    try:
        _, manifest = RunFolder.open(run)
    except LoadgenError:
        return 0
    totals = manifest.result.totals
    if totals is None:
        return 0
    return totals.failures + sum(count for status, count in totals.statuses.items() if status != OK)
