"""A suite: many runs, each verified separately.

A run that cannot be verified is undetermined, with the reason, and does not end the suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from loadgen import dispatch
from loadgen.core.events import Stage, ignore
from loadgen.core.verdict import Judgement, Reason, worst
from loadgen.errors import LoadgenError, MachineFault
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.events import Emit
    from loadgen.core.spec import RunSpec, VerifySpec
    from loadgen.core.stop import Stop
    from loadgen.record import Recorded
    from loadgen.store.runs import FoundRun
    from loadgen.verify import Verified


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One run of a suite, with its verification."""

    run: FoundRun
    verified: Verified | None = None
    problem: Reason | None = None
    """Why there is no verification."""

    @property
    def judgement(self) -> Judgement:
        """The verdict on this run."""
        return self.verified.verdict.judgement if self.verified else Judgement.UNDETERMINED

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it cannot be judged, or not completely."""
        if self.verified:
            return self.verified.verdict.reasons
        return (self.problem,) if self.problem else ()


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One folder of several that are recorded."""

    folder: str
    recorded: Recorded | None = None
    problem: Reason | None = None
    """Why there is no recording."""


async def record_all(spec: RunSpec, stop: Stop, emit: Emit) -> list[RecordedRow]:
    """Record each of the folders that are the target of *spec*, one after the other."""
    rows = []
    for at, folder in enumerate(spec.target, start=1):
        emit(Stage(what=f"recording {folder}, {at} of {len(spec.target)}"))
        try:
            recorded = await dispatch.record(replace(spec, target=(folder,)), None, stop, ignore)
            rows.append(RecordedRow(folder, recorded))
        except LoadgenError as error:
            rows.append(RecordedRow(folder, problem=Reason(error.fault, error.message, error.advice)))
        if stop.requested:
            break
    return rows


def judged(rows: Sequence[SuiteRow]) -> Judgement:
    """Return the verdict on a suite: that of its worst run."""
    return worst(rows, lambda row: row.judgement).judgement


async def verify_all(found: Sequence[FoundRun], spec: VerifySpec, jobs: int, emit: Emit) -> list[SuiteRow]:
    """Verify each run of *found*, *jobs* at a time; the rows are in the same order."""
    rows = dict[int, SuiteRow]()
    limit = anyio.CapacityLimiter(jobs)

    async def one(at: int) -> None:
        async with limit:
            rows[at] = await _verify(found[at], spec)
            emit(Stage(what=f"verified {len(rows)} of {len(found)}"))

    emit(Stage(what=f"verifying {len(found)} runs"))
    async with anyio.create_task_group() as group:
        for at in range(len(found)):
            group.start_soon(one, at)
    return [rows[at] for at in range(len(found))]


async def _verify(run: FoundRun, spec: VerifySpec) -> SuiteRow:
    error = run.problem
    if run.manifest is not None:
        try:
            return SuiteRow(run, await dispatch.verify(RunFolder(run.path), run.manifest, spec, ignore))
        except LoadgenError as raised:
            error = raised
        except OSError as raised:
            error = MachineFault(f"this machine refused: {raised.strerror or raised}")
    assert error is not None
    return SuiteRow(run, problem=Reason(error.fault, error.message, error.advice, error.code))
