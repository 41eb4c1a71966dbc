"""Whose containers they are: labels, by which those of an interrupted session are told from all others."""

from __future__ import annotations

import os
import platform
from pathlib import Path

LABEL = "loadgen.owner"
"""On everything that a session makes: the process that made it, as ``host/pid/start``."""


def mine() -> str:
    """Return the label's value for this process."""
    return f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}"


def abandoned(owner: str) -> bool:
    """Say whether *owner* was a process of this machine that is no more: of another one we cannot know."""
    host, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != platform.node() or not process.isdigit():
        return False
    return _started(int(process)) != started


def _started(process: int) -> str:
    """Return when a process was started, "" if it is gone: a number may be used again."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
