"""Conclude: from one or more replays of a recording to one verdict, its causes, and whose fault they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core.conclusion import concluded, counting_replay
from loadgen.engine.log import first_message
from loadgen.store.code_digests import changed
from loadgen.store.run_folder import write_json
from loadgen.verify import Verified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.store.run_folder import Manifest


def conclude(manifest: Manifest, replays: Sequence[Verified]) -> Verified:
    """Return the verdict of the worst of *replays*, with the causes told from all of them.

    It is written into that replay's ``verdict.json``; those of the others stay what they are.
    """
    counts = replays[counting_replay([one.verdict for one in replays])]
    if counts.verdict.facts.replay == "client":
        edited = changed(manifest.client_sources)
    else:  # the image of containers holds the code that was recorded, whatever has become of it outside
        edited = [] if manifest.image else changed(manifest.sources)
    log = "client.log" if counts.verdict.facts.replay == "client" else "server.log"
    verdict = concluded(
        [(one.folder.name, one.verdict) for one in replays], edited, first_message(counts.folder / log)
    )
    write_json(counts.folder / "verdict.json", verdict.to_json())
    return Verified(verdict, counts.folder)
