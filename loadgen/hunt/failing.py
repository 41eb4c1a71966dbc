"""What failed in a run: the failure's signature, and the request to start shrinking from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core.option import shell
from loadgen.core.verdict import Judgement
from loadgen.core.workload import Workload, read
from loadgen.errors import EngineFault, ServerFault, TranscriptFault, UsageError
from loadgen.hunt.oracle import FailureSignature
from loadgen.hunt.trial import concluded, kind
from loadgen.store.manifest import State

if TYPE_CHECKING:
    from loadgen.core.verdict import Verdict
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

FAULTS = frozenset({EngineFault.fault, ServerFault.fault, "unknown"})
"""Faults for which shrinking makes sense when a run is undetermined."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A run that failed."""

    workload: Workload
    sign: FailureSignature
    head: int | None
    """The first request that differed; None if unknown."""
    told: str
    """What failed, in a sentence."""


def failing(run: RunFolder, manifest: Manifest, *, any_failure: bool) -> Failing:
    """Return what failed in *run*; with *any_failure*, any divergence counts as the same failure.

    Raises:
        UsageError: nothing failed, the run was not verified, or shrinking would not help.
        TranscriptFault: its transcript is damaged.
    """
    verdict = concluded(run.path)
    if verdict is None:
        if manifest.result.state is State.FAILED:
            sign = FailureSignature(Judgement.UNDETERMINED, frozenset(), FAULTS)
            return Failing(_workload(run), sign, None, manifest.result.error)
        raise UsageError(
            f"{run.path} was never verified", advice=f"Verify it first: {shell('verify', run.path)}"
        )
    match verdict.judgement:
        case Judgement.DIVERGED:
            return _diverged(run, verdict, any_failure=any_failure)
        case Judgement.UNDETERMINED:
            reasons = [one for one in verdict.reasons if one.fault in FAULTS]
            if not reasons:
                told = "; ".join(one.message for one in verdict.reasons)
                raise UsageError(
                    f"{run.path} cannot be shrunk: its failure is independent of the requests: {told}"
                )
            sign = FailureSignature(
                Judgement.UNDETERMINED, frozenset(), frozenset(one.fault for one in reasons)
            )
            return Failing(_workload(run), sign, None, reasons[0].message)
    raise UsageError(
        f"{run.path} is identical: there is nothing to shrink",
        advice="If it fails only sometimes, use loadgen verify --replays 5, or loadgen stress.",
    )


def _diverged(run: RunFolder, verdict: Verdict, *, any_failure: bool) -> Failing:
    heads = [one.first for one in verdict.causes]
    kinds = frozenset() if any_failure else frozenset(map(kind, (*heads, *verdict.divergences)))
    if not heads:
        sign = FailureSignature(Judgement.DIVERGED, kinds)
        return Failing(_workload(run), sign, None, "the server served in another order")
    told = verdict.causes[0].headline
    return Failing(_workload(run), FailureSignature(Judgement.DIVERGED, kinds), heads[0].seq, told)


def _workload(run: RunFolder) -> Workload:
    with run.read() as events:
        workload = read(events)
    if not workload.steps:
        raise TranscriptFault(f"{run.transcript} has no request: there is nothing to shrink")
    return workload
