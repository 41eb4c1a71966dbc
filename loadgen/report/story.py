"""The headline of a report: what was found, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadgen.report.causes import causes, sentence, telling
from loadgen.report.evidence import divergences
from loadgen.store.manifest import COMPLETE, FAILED, MASKED

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.report.evidence import Verification
    from loadgen.store.run_folder import Manifest


@dataclass(frozen=True, slots=True)
class Story:
    """A headline, and what a reader needs to believe it."""

    tone: str
    """``identical``, ``diverged``, ``undetermined``, ``failed`` or ``unverified``: chooses the colour."""
    title: str
    lead: str
    reasons: list[dict[str, str]] = field(default_factory=list)


def tell(manifest: Manifest, verification: Verification | None, requests: int, masker: Masker) -> Story:
    """Word the headline for *manifest*'s run of *requests* and *verification*."""
    verdict = verification.verdict if verification else None
    if verdict is not None:
        return _verdict(verdict, masker)
    if verification is not None:
        return Story(
            "undetermined",
            "Undetermined",
            f"Verification {verification.number} has no verdict: {verification.problem}.",
            [{"fault": "harness", "message": verification.problem, "advice": "Verify again: loadgen verify"}],
        )
    if manifest.state == COMPLETE:
        return Story(
            "unverified",
            "Not verified yet",
            f"{_count(requests, 'request')} recorded, {manifest.concurrency} at a time. "
            "Whether a replay gives the same answers has not been asked.",
        )
    if manifest.state == MASKED:
        return Story(
            "unverified", "Masked copy", f"{_count(requests, 'request')} can be read. {manifest.error}"
        )
    why = manifest.error or "it was interrupted before its recording was complete"
    return Story(
        "failed",
        "Recording failed" if manifest.state == FAILED else "Recording unfinished",
        f"{_count(requests, 'request')} of it can be read. It cannot be verified.",
        [{"fault": manifest.state, "message": why, "advice": "Record again: loadgen record"}],
    )


def _verdict(verdict: dict[str, Any], masker: Masker) -> Story:
    order, compared, diverged = verdict["server_order"], verdict["compared"], verdict["diverged"]
    reasons = [
        {key: str(reason.get(key, "")) for key in ("fault", "message", "advice")}
        for reason in verdict["reasons"]
    ]
    match verdict.get("verdict"):
        case "identical":
            steps = (
                f" The {_who(verdict)} took the same {order['steps']:,} steps, in the same order."
                if order.get("steps")
                else ""
            )
            all_ = "The one answer is" if compared == 1 else f"All {compared:,} answers are"
            return Story("identical", "Identical", f"{all_} the same, byte for byte.{steps}", reasons)
        case "diverged":
            return Story("diverged", "Diverged", _diverged(verdict, order, masker), reasons)
    return Story(
        "undetermined",
        "Undetermined",
        f"It cannot be told whether the answers are the same: {compared:,} of "
        f"{_count(verdict['requests'], 'answer')} were compared"
        + (", and none of them differs." if compared and not diverged else "."),
        reasons,
    )


def _diverged(verdict: dict[str, Any], order: dict[str, Any], masker: Masker) -> str:
    compared, diverged = verdict["compared"], verdict["diverged"]
    if not diverged:
        return (
            f"All {compared:,} answers are the same, but the {_who(verdict)} took its steps in another order."
        )
    found = divergences(verdict)
    lead = f"{diverged:,} of {_count(compared, 'answer')} " + ("differs" if diverged == 1 else "differ")
    number = len({one.get("cause") for one in found} - {None})
    if 1 < diverged == len(found) and number:  # what is not listed may have further causes
        lead += ", all from one cause" if number == 1 else f", from {number:,} causes"
    lead += "."
    which = "It is" if diverged == 1 else f"The first, in the {_who(verdict)}'s order, is"
    if told := causes(verdict, masker):
        lead += f" {which} {told[0].what}"
    elif first := next((one for one in found if one["differences"]), None):
        lead += f" {which} request {first['seq']}: {sentence(telling(first['differences']), masker)}."
    if order.get("same") is False:
        lead += f" The {_who(verdict)}'s order differs too."
    return lead


def _who(verdict: dict[str, Any]) -> str:
    return "load generator" if verdict.get("replay") == "client" else "server"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
