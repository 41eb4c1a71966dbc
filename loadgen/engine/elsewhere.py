"""A server that listens elsewhere: it is one that loadgen does not know, and will never serve here."""

from __future__ import annotations

from time import monotonic

import anyio

from loadgen.engine.proc import stat_of
from loadgen.engine.sessions import listening, of_session

INTERVAL = 0.5
"""Seconds between two looks."""
LOOKS = 4
"""Looks in a row at which it listens elsewhere and computes nothing, until that counts as serving there. A
server may open other ports first, such as one for its figures, and then import for long: that computes."""
BUSY = 0.2
"""Share of a processor from which a process counts as computing."""


async def settled_elsewhere(leader: int, port: int) -> None:
    """Wait until the session of *leader* has settled on other ports than *port*, which is ours."""
    idle, before, seen = 0, _computed(leader), monotonic()
    while idle < LOOKS:
        await anyio.sleep(INTERVAL)
        computed, now = _computed(leader), monotonic()
        elsewhere = any(one != port for one in listening(leader))
        idle = idle + 1 if elsewhere and computed - before < BUSY * (now - seen) else 0
        before, seen = computed, now


def _computed(leader: int) -> float:
    """Return the seconds that the processes of a session have computed."""
    stats = map(stat_of, of_session(leader))
    return sum(stat.computed for stat in stats if stat is not None)
