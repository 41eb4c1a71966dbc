"""The headline of a report, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core.spec import is_builtin
from loadgen.core.verdict import Reason
from loadgen.report import wording
from loadgen.report.failing import failing
from loadgen.report.wording import count
from loadgen.store.manifest import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.masking import Masker
    from loadgen.store.manifest import Manifest
    from loadgen.store.verification import Verification


@dataclass(frozen=True, slots=True)
class RunStory:
    """A headline with its evidence."""

    tone: str
    """``identical``, ``diverged``, ``undetermined``, ``failed`` or ``unverified``: chooses the colour."""
    title: str
    lead: str
    reasons: tuple[Reason, ...] = ()


def broken(story: RunStory, found: Sequence[str]) -> RunStory:
    """Return *story* of a run in which the application broke as *found*, which no verdict on it outweighs."""
    if not found:
        return story
    first, *more = found
    sound = story.tone in {"identical", "unverified"}
    replayed = "The replay is identical. " if story.tone == "identical" else ""
    return RunStory(
        "failed" if sound else story.tone,
        "Broken" if sound else f"Broken, {story.title.lower()}",
        f"{wording.capital(first)}. {replayed}{story.lead}",
        (*(Reason("application", one) for one in more), *story.reasons),
    )


def tell(manifest: Manifest, verification: Verification | None, requests: int, masker: Masker) -> RunStory:
    """Return the headline for the run of *manifest* and *verification*."""
    verdict = verification.verdict if verification else None
    result = manifest.result
    told = failing(result.totals, is_builtin=is_builtin(manifest.spec.traffic))
    if verdict is not None:
        return RunStory(
            verdict.judgement.value,
            wording.title(verdict),
            " ".join(filter(None, (wording.lead(verdict, masker), told))),
            verdict.reasons,
        )
    if verification is not None:
        return RunStory(
            "undetermined",
            "Undetermined",
            f"Verification {verification.number} has no verdict: {verification.problem}.",
            (Reason("harness", verification.problem, "Verify again: loadgen verify"),),
        )
    if result.state is State.COMPLETE:
        return RunStory(
            "unverified",
            "Not verified yet",
            f"{count(requests, 'request')} recorded, {manifest.concurrency} at a time. "
            "Whether a replay gives the same answers has not been asked." + (f" {told}" if told else ""),
        )
    if result.state is State.MASKED:
        return RunStory(
            "unverified", "Masked copy", f"{count(requests, 'request')} can be read. {result.error}"
        )
    why = result.error or "it was interrupted before its recording was complete"
    return RunStory(
        "failed",
        "Recording failed" if result.state is State.FAILED else "Recording unfinished",
        f"{count(requests, 'request')} of it can be read. It cannot be verified.",
        (Reason(str(result.state), why, "Record again: loadgen record"),),
    )
