"""The input of a report: a run folder and, if there is one, a verification in it.

A damaged or truncated transcript is read as far as possible, with a notice.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from loadgen.check import check, invariants
from loadgen.core.spec import ModeName
from loadgen.core.transcript import Run
from loadgen.errors import LoadgenError
from loadgen.report.lanes import broke, lanes
from loadgen.report.tables import SessionAnswers, Tables
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.masking import Masker
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import Verification

FAILED = 5
"""Number of kinds of scenario failures that are listed."""
LOG_TAIL = 16 * 1024
"""Bytes of a server's log that a report quotes."""


@dataclass(slots=True)
class Evidence:
    """Everything that a report shows."""

    manifest: Manifest
    path: Path
    verification: Verification | None
    tables: Tables
    recorded: SessionAnswers
    replayed: SessionAnswers | None
    started: str = ""
    notices: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    lanes: dict[str, Any] | None = None
    """The schedule of an explored run."""
    broken: list[str] = field(default_factory=list)
    """What the recorded application broke, most telling first."""

    def differing(self) -> list[int]:
        """Return the requests that were answered differently, by the verdict.

        A verdict keeps the details of only some; the others are found by comparing the answers again.
        """
        verdict = self.verification.verdict if self.verification else None
        if verdict is None:
            return []
        found = {one.seq for one in verdict.divergences}
        if self.replayed is not None and verdict.diverged > len(found):
            pairs = zip(self.recorded.prints, self.replayed.prints, strict=False)
            found |= {seq for seq, (one, other) in enumerate(pairs, 1) if one and other and one != other}
        return sorted(found)


def gather(run: RunFolder, manifest: Manifest, verification: Verification | None, masker: Masker) -> Evidence:
    """Read everything that a report on *run* and *verification* shows."""
    verdict = verification.verdict if verification else None
    tables = Tables(masker, close=[one.seq for one in verdict.divergences] if verdict else [])
    evidence = Evidence(manifest, run.path, verification, tables, SessionAnswers(), None)
    evidence.recorded = _side(evidence, run.transcript, run.bodies, "recording")
    if verification is not None and (verification.path / "transcript.jsonl").is_file():
        evidence.replayed = _side(
            evidence, verification.path / "transcript.jsonl", verification.path / "bodies", "replay"
        )
    tables.finish()
    of_client = verdict is not None and verdict.facts.replay == ModeName.CLIENT
    replayed = run.client_log.name if of_client else run.log.name
    for name, log in (("recording", run.log), ("replay", verification and verification.path / replayed)):
        if log and (text := _tail(log)):
            evidence.logs[name] = masker.text(text)
    evidence.lanes = lanes(run, manifest, masker)
    evidence.broken = [masker.text(one) for one in broke(run) or _invariants(run, manifest)]
    return evidence


def _invariants(run: RunFolder, manifest: Manifest) -> list[str]:
    """Return which invariants the run breaks, without those of a model, which is a program."""
    held = invariants(replace(manifest.spec.invariants, model=None))
    if not held:
        return []  # the whole transcript would be read for nothing
    try:
        return [f"{one.invariant}: {one.message}" for one in check(run, manifest, held) if one.holds is False]
    except LoadgenError:  # a notice says why it cannot be read
        return []


def learn(run: RunFolder, verification: Verification, masker: Masker) -> None:
    """Show *masker* everything that was sent, so that it recognises secrets in messages about it."""
    for path, bodies in (
        (run.transcript, run.bodies),
        (verification.path / "transcript.jsonl", verification.path / "bodies"),
    ):
        with suppress(LoadgenError), read_transcript(path, bodies) as events:
            for event in events:
                masker.event(event)


def _side(evidence: Evidence, path: Path, bodies: Path, name: str) -> SessionAnswers:
    side = SessionAnswers()
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
