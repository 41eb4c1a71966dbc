"""Verdicts on recorded streams of events: decisions depend on codes, never on messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.testing.streams import judged

if TYPE_CHECKING:
    from loadgen.core.verdict import Verdict

STREAMS = sorted(Path(__file__).with_name("streams").glob("*.jsonl"))
CHANGED = ["/srv/serve.py"]

# Of each stream: the verdict; of unchanged code, then of changed code, each cause as fault, first request,
# own requests and consequences; and the faults of the reasons.
EXPECTED: dict[str, tuple[str, list[Any], list[Any], list[str], list[str]]] = {
    "identical": ("identical", [], [], [], []),
    "consequences": (
        "diverged", [("unknown", 1, (1, 4), (2, 5, 6))], [("application", 1, (1, 4), (2, 5, 6))], [], [],
    ),
    "engine_failed": ("diverged", [("engine", 2, (2,), ())], [("application", 2, (2,), ())], [], []),
    "recording_ends": ("undetermined", [], [], ["recording"], ["recording"]),
    "another_request": ("diverged", [("harness", 1, (1,), ())], [("harness", 1, (1,), ())], [], []),
    "stuck_after_a_departure": (
        "diverged", [("unknown", 1, (1,), ())], [("application", 1, (1,), ())], ["unknown"], ["application"],
    ),
    "stuck": ("undetermined", [], [], ["engine"], ["application"]),
    "no_answer": ("diverged", [("unknown", 1, (1,), ())], [("application", 1, (1,), ())], [], []),
}  # fmt: skip


def decided(verdict: Verdict) -> tuple[Any, ...]:
    """Return all of a verdict that is decided, and none of its sentences."""
    return (
        verdict.judgement.value,
        [(one.fault.value, one.first.seq, one.requests, one.consequent) for one in verdict.causes],
        [one.fault for one in verdict.reasons],
        [(one.seq, one.cause, one.follows, one.code) for one in verdict.divergences],
        (verdict.requests, verdict.compared, verdict.diverged),
    )


def reworded(line: str) -> str:
    """Return an event with other words in every sentence for people."""
    event = json.loads(line)
    if event.get("left"):
        event["left"]["why"] = f"etwas anderes ({event['left']['code']})"
    if "message" in event:
        event["message"] = (
            "the recording ends here; the engine cannot; the live request is not the recorded one"
        )
    return json.dumps(event)


def test_every_stream_has_its_verdict() -> None:
    """No stream is left out, and none is missing."""
    assert {path.stem for path in STREAMS} == set(EXPECTED)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_the_verdict_of_a_stream(path: Path) -> None:
    """The events, and whether the code is changed, decide on verdict, causes and whose fault it is."""
    judgement, unchanged, changed, faults, faults_changed = EXPECTED[path.stem]
    lines = path.read_text().splitlines()
    assert decided(judged(lines))[:3] == (judgement, unchanged, faults)
    assert decided(judged(lines, CHANGED))[:3] == (judgement, changed, faults_changed)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
@pytest.mark.parametrize("changed", [[], CHANGED, None])
def test_rewording_changes_no_verdict(path: Path, changed: list[str] | None) -> None:
    """With other words in every sentence, all that is decided is the same."""
    lines = path.read_text().splitlines()
    assert decided(judged(map(reworded, lines), changed)) == decided(judged(lines, changed))
