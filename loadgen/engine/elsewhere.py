"""Detects a server that listens elsewhere: loadgen does not support it, and it will never serve here."""

from __future__ import annotations

from time import monotonic

import anyio

from loadgen.engine.proc import stat_of
from loadgen.engine.sessions import listening, of_session

INTERVAL = 0.5
"""Seconds between two checks."""
LOOKS = 4
"""A server that listens elsewhere and computes nothing in this many consecutive checks is serving there. It
may first open other ports, such as one for metrics, and then import for a long time, which computes."""
BUSY = 0.2
"""A process counts as computing from this share of a processor."""


async def settled_elsewhere(leader: int, port: int) -> None:
    """Wait until the session of *leader* has settled on ports other than *port*, which is ours."""
    idle, before, seen = 0, _computed(leader), monotonic()
    while idle < LOOKS:
        await anyio.sleep(INTERVAL)
        computed, now = _computed(leader), monotonic()
        elsewhere = any(one != port for one in listening(leader))
        idle = idle + 1 if elsewhere and computed - before < BUSY * (now - seen) else 0
        before, seen = computed, now


def _computed(leader: int) -> float:
    """Return the processor time of the processes of a session, in seconds."""
    stats = map(stat_of, of_session(leader))
    return sum(stat.computed for stat in stats if stat is not None)
