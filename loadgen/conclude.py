"""Conclude: from one or more replays of a recording to one verdict, its causes, and whose fault they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from loadgen.core.diagnosis import diagnose
from loadgen.core.verdict import WORST_FIRST, Judgement
from loadgen.engine.log import first_message
from loadgen.store import sealed
from loadgen.store.code_digests import changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.store.run_folder import Manifest
    from loadgen.verify import Verified


def conclude(manifest: Manifest, replays: Sequence[Verified]) -> Verified:
    """Return the verdict of the worst of *replays*, with the causes told from all of them.

    It is written into that replay's ``verdict.json``; those of the others stay what they are.
    """
    worst = min(replays, key=lambda one: WORST_FIRST.index(one.verdict.judgement))
    verdict = worst.verdict
    if verdict.facts.get("replay") == "client":
        edited = changed(manifest.client_sources)
    else:  # the image of containers holds the code that was recorded, whatever has become of it outside
        edited = [] if manifest.image else changed(manifest.sources)
    verdict.causes = diagnose([one.verdict for one in replays], edited)
    verdict.facts["changed_sources"] = edited
    if verdict.judgement is not Judgement.IDENTICAL and (said := first_message(_log(worst))):
        verdict.facts["engine_log"] = asdict(said)
    if (watched := [one for one in replays if "watched" in one.verdict.facts]) and watched[-1] is not worst:
        verdict.facts["watched"] = watched[-1].verdict.facts["watched"]
    verdict.facts["replays"] = [
        {"folder": one.folder.name, "verdict": one.verdict.judgement.value, "diverged": one.verdict.diverged}
        for one in replays
    ]
    sealed.write(worst.folder / "verdict.json", verdict.to_json())
    return worst


def _log(replay: Verified) -> Path:
    """Return what the replayed process printed: the load generator, or the server."""
    return replay.folder / ("client.log" if replay.verdict.facts.get("replay") == "client" else "server.log")
