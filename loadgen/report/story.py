"""The headline of a report: what was found, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadgen.report.evidence import divergences

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.report.evidence import Verification
    from loadgen.run_folder import Manifest

MASKED = "masked"
"""The state of a run that was exported without its secrets."""
QUOTED = 48
"""Characters of a value that a headline quotes."""


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
    if manifest.state == "complete":
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
        "Recording failed" if manifest.state == "failed" else "Recording unfinished",
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
                f" The server took the same {order['steps']:,} steps, in the same order."
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


def rank(difference: dict[str, str]) -> int:
    """Rank by what a difference tells: status, then body, then a header; a length only follows."""
    field = difference["field"]
    if field == "header:content-length":
        return 3
    return 2 if field.startswith("header") else 1 if field.startswith("body") else 0


def telling(differences: list[dict[str, str]]) -> dict[str, str]:
    """Return the difference that tells most."""
    return min(differences, key=rank)


def _diverged(verdict: dict[str, Any], order: dict[str, Any], masker: Masker) -> str:
    compared, diverged = verdict["compared"], verdict["diverged"]
    if not diverged:
        return f"All {compared:,} answers are the same, but the server took its steps in another order."
    lead = f"{diverged:,} of {_count(compared, 'answer')} " + ("differs." if diverged == 1 else "differ.")
    first = next((one for one in divergences(verdict) if one["differences"]), None)
    if first is not None:
        what = telling(first["differences"])
        was, is_ = (_short(masker.difference(what["field"], what[side])) for side in ("recorded", "replayed"))
        where = what["field"].replace("body:", "body ").replace("header:", "header ")
        which = "It is" if diverged == 1 else "The first, in the server's order, is"
        lead += f" {which} request {first['seq']}: {where} was {was} and is {is_}."
    if order.get("same") is False:
        lead += " The server's order differs too."
    return lead


def _short(value: str) -> str:
    return value if len(value) <= QUOTED else value[: QUOTED - 1] + "…"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
