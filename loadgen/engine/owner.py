"""Owner labels: they identify the folders and containers that a killed session left behind."""

from __future__ import annotations

import os
import platform

from loadgen.engine.proc import stat_of

LABEL = "loadgen.owner"
"""Label on what a session has in Docker: the process that created it, as ``host/pid/start``."""


def mine() -> str:
    """Return the label's value for this process."""
    return f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}"


def abandoned(owner: str) -> bool:
    """Return whether *owner* was a process of this machine that has exited; other machines' are unknown."""
    host, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != platform.node() or not process.isdigit():
        return False
    return _started(int(process)) != started


def _started(process: int) -> str:
    """Return the start time of a process, "" if it has exited: process ids are reused."""
    stat = stat_of(process)
    return "" if stat is None or stat.state == "Z" else stat.started
