"""A trial of a hunt for races: record once, under a schedule that chooses, and look what broke.

What counts as broken needs no replay: a failed assertion of the scenario, an answer of the 5xx kind, a
request without an answer, a deadlock, an invariant that does not hold.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core import schedules
from loadgen.core.diagnosis import numberless
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.history import SERVER_ERRORS, operations
from loadgen.core.jobs import Record
from loadgen.core.transcript import FailedIteration
from loadgen.errors import LoadgenError
from loadgen.hunt import trial
from loadgen.store.manifest import State
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.core.invariants import Checked, Invariant
    from loadgen.core.spec import RunSpec


@dataclass(frozen=True, slots=True)
class RaceFailure:
    """Something that must not happen."""

    kind: str
    """What it has in common with the same in other trials: no numbers of requests, no values."""
    message: str
    seq: int
    """The request that shows it; 0: none in particular."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a trial."""

    broken: tuple[RaceFailure, ...]
    entries: tuple[schedules.Entry, ...]
    requests: int
    run: Path
    failure: str = ""
    """Why it could not be recorded; nothing is known then."""
    checked: tuple[Checked, ...] = ()
    """What came of each invariant."""

    @property
    def kinds(self) -> frozenset[str]:
        """What broke."""
        return frozenset(one.kind for one in self.broken)

    @property
    def choices(self) -> list[schedules.Choice]:
        """The choices that were made."""
        return [entry for entry in self.entries if isinstance(entry, schedules.Choice)]


async def attempt(spec: RunSpec, folder: Path, invariants: Sequence[Invariant], limit: float) -> Tried:
    """Record *spec* in *folder*, which is made, and return what broke.

    Raises:
        UsageError: every trial of this specification would be refused like this one.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a hunt that was killed
    folder.mkdir(parents=True)
    run = folder / trial.RUN
    ended = await trial.work(Record(spec=spec, folder=str(run)), folder, limit)
    try:
        opened, manifest = RunFolder.open(run)
        whole = manifest.result.state is State.COMPLETE
        return look(opened, invariants) if whole else Tried((), (), 0, run, ended.failure().headline)
    except (LoadgenError, OSError, ValueError) as error:
        return Tried((), (), 0, run, str(error))


def look(run: RunFolder, invariants: Sequence[Invariant]) -> Tried:
    """Return what broke in *run*."""
    broken: list[RaceFailure] = []
    asked: dict[int, Request] = {}
    with run.read() as reader:
        events = list(reader)
    for event in events:
        match event:
            case Request():
                asked[event.seq] = event
            case Response() if event.status in SERVER_ERRORS:
                broken.append(_unanswered(asked[event.seq], str(event.status)))
            case Failure():
                broken.append(_unanswered(asked[event.seq], event.kind))
            case FailedIteration():
                broken.append(RaceFailure(numberless(str(event)), event.message, event.seq))
    entries: list[schedules.Entry] = []
    if run.schedule.exists():  # it was explored
        with run.schedule.open(encoding="utf-8") as lines:
            entries = schedules.parse(lines)
    dead = [entry for entry in entries if isinstance(entry, schedules.Deadlock)]
    broken = [*(RaceFailure(f"deadlock at {one.places}", f"deadlock: {one}", 0) for one in dead), *broken]
    history = operations(events)
    checked = tuple(one.check(history) for one in invariants)
    broken += [RaceFailure(one.invariant, one.message, one.seqs[-1]) for one in checked if one.holds is False]
    return Tried(tuple(broken), tuple(entries), len(asked), run.path, checked=checked)


def _unanswered(request: Request, what: str) -> RaceFailure:
    kind = f"{what} on {request.method} {numberless(request.target)}"
    return RaceFailure(kind, f"request {request.seq}: {kind}", request.seq)
