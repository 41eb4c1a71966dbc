"""What a report is made from: a run folder and, if there is one, a verification in it.

A report is made of what there is: a damaged or cut transcript is read as far as it goes, with a notice.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadgen.core.transcript import Run
from loadgen.core.verdict import FORMAT
from loadgen.errors import LoadgenError, UsageError
from loadgen.report.tables import Side, Tables
from loadgen.store import sealed
from loadgen.store.files import numbered
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.masking import Masker
    from loadgen.store.run_folder import Manifest, RunFolder

FAILED = 5
"""Kinds of failure in the scenario that are told."""
LOG_TAIL = 16 * 1024
"""Bytes of a server's log that a report quotes."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification of a run, as its folder has it."""

    number: int
    of: int
    path: Path
    verdict: dict[str, Any] | None
    """The content of ``verdict.json``; none if there is none that can be read."""
    problem: str = ""
    """Why there is none."""


@dataclass(slots=True)
class Evidence:
    """All that a report shows."""

    manifest: Manifest
    path: Path
    verification: Verification | None
    tables: Tables
    recorded: Side
    replayed: Side | None
    started: str = ""
    notices: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def differing(self) -> list[int]:
        """Return which requests the verdict says were answered differently.

        A verdict keeps the details of so many; the rest is told by comparing the answers once more.
        """
        verdict = self.verification.verdict if self.verification else None
        found = {one["seq"] for one in divergences(verdict)}
        diverged = (verdict or {}).get("diverged")
        if self.replayed is not None and isinstance(diverged, int) and diverged > len(found):
            pairs = zip(self.recorded.prints, self.replayed.prints, strict=False)
            found |= {seq for seq, (one, other) in enumerate(pairs, 1) if one and other and one != other}
        return sorted(found)


def find_verification(run: RunFolder, number: int | None) -> Verification | None:
    """Return the verification *number*, by default the latest; none if the run was never verified.

    Raises:
        UsageError: there is no such verification.
    """
    parent = run.path / "verify"
    numbers = numbered(parent)
    if number is None and not numbers:
        return None
    if number is not None and number not in numbers:
        there = ", ".join(map(str, numbers)) if numbers else "none"
        raise UsageError(f"{run.path} has no verification {number}", advice=f"There are: {there}.")
    chosen = _concluded(parent, numbers) if number is None else number
    path = parent / str(chosen)
    verdict, problem = _verdict(path / "verdict.json")
    return Verification(chosen, len(numbers), path, verdict, problem)


def _concluded(parent: Path, numbers: list[int]) -> int:
    """Return the latest verification; if it was one of several replays, that which has their verdict."""
    latest = str(numbers[-1])
    for number in reversed(numbers):
        replays = ((_verdict(parent / str(number) / "verdict.json"))[0] or {}).get("replays")
        if replays:
            return number if latest in (one["folder"] for one in replays) else numbers[-1]
    return numbers[-1]


def gather(run: RunFolder, manifest: Manifest, verification: Verification | None, masker: Masker) -> Evidence:
    """Read everything that a report on *run* and *verification* shows."""
    verdict = verification.verdict if verification else None
    tables = Tables(masker, close=[one["seq"] for one in divergences(verdict)])
    evidence = Evidence(manifest, run.path, verification, tables, Side(), None)
    evidence.recorded = _side(evidence, run.transcript, run.bodies, "recording")
    if verification is not None and (verification.path / "transcript.jsonl").is_file():
        evidence.replayed = _side(
            evidence, verification.path / "transcript.jsonl", verification.path / "bodies", "replay"
        )
    tables.finish()
    replayed = run.client_log.name if (verdict or {}).get("replay") == "client" else run.log.name
    for name, log in (("recording", run.log), ("replay", verification and verification.path / replayed)):
        if log and (text := _tail(log)):
            evidence.logs[name] = masker.text(text)
    return evidence


def learn(run: RunFolder, verification: Verification, masker: Masker) -> None:
    """Let *masker* see everything that was sent, so that it knows the secrets in what is told of it."""
    for path, bodies in (
        (run.transcript, run.bodies),
        (verification.path / "transcript.jsonl", verification.path / "bodies"),
    ):
        with suppress(LoadgenError), read_transcript(path, bodies) as events:
            for event in events:
                masker.event(event)


def divergences(verdict: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the divergences of a verdict that have the form that they should have."""
    found = (verdict or {}).get("divergences")
    return [one for one in found or () if is_divergence(one)]


def stack(one: dict[str, Any]) -> list[str]:
    """Return the calls at which a divergence left the tape, innermost first; none in an older verdict."""
    calls = one.get("stack")
    return [call for call in calls if isinstance(call, str)] if isinstance(calls, list) else []


def is_divergence(one: Any) -> bool:
    """Say whether *one* has the form that a divergence should have."""
    match one:
        case {"seq": int(), "method": str(), "target": str(), "differences": [*differences]}:
            return all(
                isinstance(difference, dict)
                and all(isinstance(difference.get(key), str) for key in ("field", "recorded", "replayed"))
                for difference in differences
            )
    return False


def _verdict(path: Path) -> tuple[dict[str, Any] | None, str]:
    if not os.path.lexists(path):
        return None, "it was interrupted before it reached a verdict"
    try:
        content = sealed.read(path, FORMAT)
    except LoadgenError as error:
        return None, error.message
    if wrong := _malformed(content):
        return None, f"its verdict.json is damaged: {wrong}"
    return content, ""


def _malformed(verdict: dict[str, Any]) -> str:
    """Say which of the parts of a verdict that are shown is not what it should be."""
    optional = (dict, type(None))
    wanted: dict[str, tuple[type, ...]] = {
        "requests": (int,), "compared": (int,), "diverged": (int,),
        "reasons": (list,), "divergences": (list,), "rules": (list,),
        "server_order": (dict,), "seconds": optional, "database": optional,
        "causes": (list, type(None)), "replays": (list, type(None)),
    }  # fmt: skip
    for name, types in wanted.items():
        if not isinstance(verdict.get(name), types):
            return f"{name} is not of the right type"
    order, seconds = verdict["server_order"], verdict.get("seconds") or {}
    if not isinstance(order.get("steps"), (int, type(None))) or order.get("same") not in (True, False, None):
        return "server_order is not of the right form"
    if not all(isinstance(value, (int, float, type(None))) for value in seconds.values()):
        return "seconds are not numbers"
    for one in verdict.get("replays") or ():
        if not isinstance(one, dict) or not all(
            isinstance(one.get(key), str) for key in ("folder", "verdict")
        ):
            return "replays are not of the right form"
    if not all(isinstance(one, dict) for one in (*verdict["reasons"], *verdict["rules"])):
        return "reasons or rules are not of the right form"
    return ""


def _side(evidence: Evidence, path: Path, bodies: Path, name: str) -> Side:
    side = Side()
    try:
        with read_transcript(path, bodies) as events:
            for event in events:
                if isinstance(event, Run) and not evidence.started:
                    evidence.started = event.started
                evidence.tables.add(side, event, events.at, events.due)
            if not events.ended:
                torn = ", in the middle of a line" if events.torn else ""
                evidence.notices.append(
                    f"The transcript of the {name} was cut short after {events.requests} requests{torn}."
                )
    except LoadgenError as error:
        evidence.notices.append(
            f"The transcript of the {name} is shown as far as it can be read: {error.message}"
        )
    for what, count in side.failed.most_common(FAILED):
        iterations = "1 iteration" if count == 1 else f"{count:,} iterations"
        evidence.notices.append(f"Failed in the scenario, {iterations}: {what}")
    if len(side.failed) > FAILED:
        evidence.notices.append(
            f"{len(side.failed) - FAILED:,} further kinds of failure in the scenario are in the transcript."
        )
    return side


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if size <= LOG_TAIL else "… " + text.partition("\n")[2]
