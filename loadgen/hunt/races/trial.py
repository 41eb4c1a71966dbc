"""A trial of a search for races: record once, with an explored schedule, and find what broke.

Failures are found without a replay: a failed assertion of the scenario, a 5xx answer, a request without an
answer, a deadlock, a violated invariant, or a server that ends.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core import schedules
from loadgen.core.diagnosis import numberless
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.history import SERVER_ERRORS, operations
from loadgen.core.transcript import FailedIteration
from loadgen.errors import LoadgenError, UsageError
from loadgen.hunt import trial
from loadgen.hunt.trial import TrialPlan
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.core.invariants import Checked, Invariant
    from loadgen.core.spec import RunSpec
    from loadgen.hunt.fleet import Fleet


ENDED = "the server ended"
"""Kind of the failure of a server that a race kills."""


@dataclass(frozen=True, slots=True)
class RaceFailure:
    """A failure of the application."""

    kind: str
    """The kind of the failure, equal in other trials: without numbers of requests and values."""
    message: str
    seqs: tuple[int, ...] = ()
    """The requests that failed, or contradict each other, the last one last; empty: none in particular."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of a trial."""

    broken: tuple[RaceFailure, ...]
    entries: tuple[schedules.Entry, ...]
    users: tuple[int, ...]
    """The virtual user that sent each request, in order."""
    run: Path
    failure: str = ""
    """Why it could not be recorded; the other fields are then empty."""
    advice: str = ""
    """What to do about that."""
    is_complete: bool = True
    """Whether it can be replayed: false if the server ended."""
    checked: tuple[Checked, ...] = ()
    """The result of each invariant."""

    @property
    def requests(self) -> int:
        """Number of its requests."""
        return len(self.users)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its failures."""
        return frozenset(one.kind for one in self.broken)

    @property
    def choices(self) -> list[schedules.Choice]:
        """The choices of its schedule."""
        return [entry for entry in self.entries if isinstance(entry, schedules.Choice)]


async def attempt(
    fleet: Fleet,
    spec: RunSpec,
    folder: Path,
    invariants: Sequence[Invariant],
    limit: float,
    directory: str | None = None,
) -> Tried:
    """Record *spec* with *fleet* in the new folder *folder*, and return what broke.

    The commands run in *directory*.

    Raises:
        UsageError: the specification or a model is refused, as it would be in every trial.
        MachineFault: the fleet cannot run trials.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a hunt that was killed
    run = folder / trial.RUN
    made = await fleet.run(TrialPlan(spec, verify=None, directory=directory), folder, limit=limit)
    if made.server_ended:
        ended = RaceFailure(ENDED, made.server_ended)
        return Tried((ended,), (), (), run, is_complete=False)
    if made.causes:
        why = "\n".join(filter(None, (made.message, made.causes[0].why)))
        return Tried((), (), (), run, why, made.causes[0].advice)
    try:
        return look(RunFolder.open(run)[0], invariants)
    except UsageError:
        raise
    except (LoadgenError, OSError, ValueError) as error:
        return Tried((), (), (), run, str(error))


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
                # An assertion is the same one with other values in its message.
                kind = f"{event.scenario}: {event.kind}: {event.where or numberless(event.message)}"
                broken.append(RaceFailure(kind, event.message, (event.seq,) if event.seq else ()))
    entries: list[schedules.Entry] = []
    if run.schedule.exists():  # it was explored
        with run.schedule.open(encoding="utf-8") as lines:
            entries = schedules.parse(lines)
    dead = [entry for entry in entries if isinstance(entry, schedules.Deadlock)]
    broken = [*(RaceFailure(f"deadlock at {one.locations}", f"deadlock: {one}") for one in dead), *broken]
    history = operations(events)
    checked = tuple(one.check(history) for one in invariants)
    broken += [RaceFailure(one.invariant, one.message, one.seqs) for one in checked if one.holds is False]
    users = tuple(asked[seq].user for seq in sorted(asked))
    return Tried(tuple(broken), tuple(entries), users, run.path, checked=checked)


def _unanswered(request: Request, what: str) -> RaceFailure:
    kind = f"{what} on {request.method} {numberless(request.target)}"
    return RaceFailure(kind, f"request {request.seq}: {kind}", (request.seq,))
