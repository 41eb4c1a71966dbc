"""The fields of ``/proc/PID/stat``, named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class ProcessStat(NamedTuple):
    """One process, at one moment. Source: proc_pid_stat(5)."""

    state: str
    """One letter: R is running, S sleeping, Z a zombie."""
    session: int
    """The process that began its session."""
    computed: float
    """Seconds of processor time that it has used."""
    started: str
    """Its start time in the kernel's ticks, which distinguishes it from a later process with the same id."""


def stat_of(process: int) -> ProcessStat | None:
    """Return the kernel's data on *process*; None if it does not exist."""
    try:
        text = (PROC / str(process) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # a program's name may contain spaces and brackets
    ticks = int(fields[11]) + int(fields[12])
    return ProcessStat(fields[0], int(fields[3]), ticks / os.sysconf("SC_CLK_TCK"), fields[19])
