"""A transcript, written again with every event changed, such as by masking its secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadgen.core import transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.transcript import Event, Reader


def rewritten(events: Reader, change: Callable[[Event], Event]) -> tuple[str, dict[str, bytes]]:
    """Return a transcript of the changed *events*, and the large bodies that it refers to, by name."""
    bodies: dict[str, bytes] = {}
    lines = []
    for event in events:
        name, fields = transcript.encode(change(event), bodies.__setitem__)
        due = {} if events.due is None else {"due": events.due}
        line = {"event": name, "at": events.at, **due, **fields}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines), bodies
