"""The headline of a report: what was found, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core.verdict import Reason
from loadgen.report import wording
from loadgen.report.wording import count

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.store.run_folder import Manifest
    from loadgen.store.verification import Verification

MASKED = "masked"
"""The state of a run that was exported without its secrets."""


@dataclass(frozen=True, slots=True)
class Story:
    """A headline, and what a reader needs to believe it."""

    tone: str
    """``identical``, ``diverged``, ``undetermined``, ``failed`` or ``unverified``: chooses the colour."""
    title: str
    lead: str
    reasons: tuple[Reason, ...] = ()


def tell(manifest: Manifest, verification: Verification | None, requests: int, masker: Masker) -> Story:
    """Word the headline for *manifest*'s run of *requests* and *verification*."""
    verdict = verification.verdict if verification else None
    if verdict is not None:
        return Story(
            verdict.judgement.value,
            wording.title(verdict),
            wording.lead(verdict, masker),
            verdict.reasons,
        )
    if verification is not None:
        return Story(
            "undetermined",
            "Undetermined",
            f"Verification {verification.number} has no verdict: {verification.problem}.",
            (Reason("harness", verification.problem, "Verify again: loadgen verify"),),
        )
    if manifest.state == "complete":
        return Story(
            "unverified",
            "Not verified yet",
            f"{count(requests, 'request')} recorded, {manifest.concurrency} at a time. "
            "Whether a replay gives the same answers has not been asked.",
        )
    if manifest.state == MASKED:
        return Story(
            "unverified", "Masked copy", f"{count(requests, 'request')} can be read. {manifest.error}"
        )
    why = manifest.error or "it was interrupted before its recording was complete"
    return Story(
        "failed",
        "Recording failed" if manifest.state == "failed" else "Recording unfinished",
        f"{count(requests, 'request')} of it can be read. It cannot be verified.",
        (Reason(manifest.state, why, "Record again: loadgen record"),),
    )
