"""The causes of a verdict as a reader sees them: worded, masked, and with where they began.

Nothing of a value is quoted but through the masker, field by field: the ready-made headline in
``verdict.json`` is the terminal's, and is not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadgen.core.location import own_call
from loadgen.report.evidence import divergences, is_divergence, stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.masking import Masker

QUOTED = 48
"""Characters of a value that a sentence quotes."""
THE_REPLAY = "the replay"
CLAUSE = 300
"""Characters of a reason that it quotes."""
_PLACE = re.compile(r", at [^\n]+?:\d+ in .*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Told:
    """One cause, ready to be shown."""

    number: int
    """Its place among the causes of the verdict, from 1."""
    fault: str
    request: str
    """The first request that it changed, such as ``GET /api/stats``; empty if that is not known."""
    what: str
    """What differs there, as the rest of a sentence that names the request."""
    where: str
    """The application's own call at which that request left the tape; empty if it did not."""
    why: str
    advice: str
    first: int
    count: int
    here: int
    """How many of its divergences this verdict has the details of; others are of further replays."""
    elsewhere: bool
    """Whether its first request differs in another replay, and not in this one."""
    head: dict[str, Any] | None
    """Its first divergence, as ``verdict.json`` has it: masked by whoever shows it."""


def causes(verdict: dict[str, Any] | None, masker: Masker) -> list[Told]:
    """Return the causes that a verdict names; none if it is older than causes are."""
    found = (verdict or {}).get("causes") or []
    known = divergences(verdict)
    return [_told(at, one, known, masker) for at, one in enumerate(found) if _is_cause(one)]


def _is_cause(one: Any) -> bool:
    match one:
        case {"fault": str(), "why": str(), "advice": str(), "first": int(), "count": int()}:
            return True
    return False


def _told(at: int, cause: dict[str, Any], known: Sequence[dict[str, Any]], masker: Masker) -> Told:
    head = cause.get("head")
    if not is_divergence(head):
        head = next((one for one in known if one["seq"] == cause["first"]), None)
    here = sum(one.get("cause") == at for one in known)
    other = any("cause" in one for one in known) and all(one["seq"] != cause["first"] for one in known)
    what = f"request {cause['first']}"
    if head and head["differences"]:
        replay = "another replay" if other else THE_REPLAY
        what += f": {sentence(telling(head['differences']), masker, replay)}"
    return Told(
        at + 1,
        cause["fault"],
        f"{head['method']} {masker.target(head['target'])}" if head else "",
        what + ".",
        masker.text(own_call(stack(head)).partition(": ")[0]) if head else "",
        _sentence(masker.text(cause["why"])),
        masker.text(cause["advice"]),
        cause["first"],
        cause["count"],
        here,
        other,
        head,
    )


def sentence(difference: dict[str, str], masker: Masker, replay: str = THE_REPLAY) -> str:
    """Say in a clause how an answer differs; it can follow a colon."""
    field = difference["field"]
    before, after = (masker.difference(field, difference[side]) for side in ("recorded", "replayed"))
    if field == "outcome":
        return f"it {_happened(before)}; in {replay} it {_happened(after)}"
    if field == "served":
        return f"it was served {before}; in {replay}, {after}"
    where = field.replace("body:", "body ").replace("header:", "header ")
    there = "" if replay == THE_REPLAY else f" in {replay}"
    return f"{where} was {_value(before)} and is {_value(after)}{there}"


def rank(difference: dict[str, str]) -> int:
    """Rank by what a difference tells: status, then body, then a header; a length only follows."""
    field = difference["field"]
    if field == "header:content-length":
        return 3
    return 2 if field.startswith("header") else 1 if field.startswith("body") else 0


def telling(differences: list[dict[str, str]]) -> dict[str, str]:
    """Return the difference that tells most."""
    return min(differences, key=rank)


def short(text: str, limit: int = QUOTED) -> str:
    """Return the beginning of *text*, and that it is one."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def capital(text: str) -> str:
    """Begin *text* as a sentence begins."""
    return text[:1].upper() + text[1:]


def _happened(outcome: str) -> str:
    """Turn an outcome into what happened to the request, without where it did."""
    if outcome.startswith("answered"):
        return f"was {outcome}"
    return short(_PLACE.sub("", outcome.replace("no answer", "got no answer", 1)), CLAUSE)


def _value(value: str) -> str:
    return {"(absent)": "absent", "(empty)": "empty"}.get(value) or short(value)


def _sentence(text: str) -> str:
    return capital(text) + ("" if text.endswith((".", "…")) else ".")
