"""What a report is made from: a run folder and, if there is one, a verification in it.

A report is made of what there is: a damaged or cut transcript is read as far as it goes, with a notice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadgen.core.transcript import Run
from loadgen.core.verdict import FORMAT
from loadgen.errors import LoadgenError, UsageError
from loadgen.report.tables import Side, Tables
from loadgen.run_folder import read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.masking import Masker
    from loadgen.run_folder import Manifest, RunFolder

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
    numbers = sorted(int(path.name) for path in parent.glob("*") if path.name.isdecimal() and path.is_dir())
    if number is None and not numbers:
        return None
    if number is not None and number not in numbers:
        there = ", ".join(map(str, numbers)) if numbers else "none"
        raise UsageError(f"{run.path} has no verification {number}", advice=f"There are: {there}.")
    chosen = numbers[-1] if number is None else number
    path = parent / str(chosen)
    verdict, problem = _verdict(path / "verdict.json")
    return Verification(chosen, len(numbers), path, verdict, problem)


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
    for name, log in (("recording", run.log), ("replay", verification and verification.path / "server.log")):
        if log and (text := _tail(log)):
            evidence.logs[name] = masker.text(text)
    return evidence


def divergences(verdict: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the divergences of a verdict that have the form that they should have."""
    found = (verdict or {}).get("divergences")
    return [one for one in found if _is_divergence(one)] if isinstance(found, list) else []


def _is_divergence(one: Any) -> bool:
    match one:
        case {"seq": int(), "method": str(), "target": str(), "differences": [*differences]}:
            return all(
                isinstance(difference, dict)
                and all(isinstance(difference.get(key), str) for key in ("field", "recorded", "replayed"))
                for difference in differences
            )
    return False


def _verdict(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None, "it was interrupted before it reached a verdict"
    except (OSError, ValueError, RecursionError) as error:
        return None, f"its verdict.json cannot be read: {error}"
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None, f"its verdict.json is not of the format {FORMAT}"
    return content, ""


def _side(evidence: Evidence, path: Path, bodies: Path, name: str) -> Side:
    side = Side()
    try:
        with read_transcript(path, bodies) as events:
            for event in events:
                if isinstance(event, Run) and not evidence.started:
                    evidence.started = event.started
                evidence.tables.add(side, event, events.at)
            if not events.ended:
                torn = ", in the middle of a line" if events.torn else ""
                evidence.notices.append(
                    f"The transcript of the {name} was cut short after {events.requests} requests{torn}."
                )
    except LoadgenError as error:
        evidence.notices.append(f"The transcript of the {name} is shown as far as it can be read: {error.message}")
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
