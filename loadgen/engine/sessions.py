"""The processes of a server's session, and the ports that they listen on, from ``/proc``."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from loadgen.engine.proc import PROC, stat_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENING = "0A"


def of_session(leader: int) -> Iterator[int]:
    """Yield the processes of the session that *leader* began, whether it still runs or not."""
    for entry in PROC.iterdir():
        stat = stat_of(int(entry.name)) if entry.name.isdigit() else None
        if stat is not None and stat.session == leader:
            yield int(entry.name)


def end_session(leader: int) -> None:
    """Kill the processes that *leader* left behind in its session."""
    for process in of_session(leader):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def listening(leader: int) -> list[int]:
    """Return the TCP ports on which processes of a session listen."""
    ports = set[int]()
    for process in of_session(leader):
        with suppress(OSError):
            held = {str(one.readlink()) for one in (PROC / str(process) / "fd").iterdir()}
            for table in ("tcp", "tcp6"):
                for line in (PROC / str(process) / "net" / table).read_text().splitlines()[1:]:
                    local, state, inode = (line.split()[place] for place in (1, 3, 9))
                    if state == _LISTENING and f"socket:[{inode}]" in held:
                        ports.add(int(local.rpartition(":")[2], 16))
    return sorted(ports)
