"""Attributes a failed session in containers, from both exit reports and the driver's error."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from loadgen.engine.log import last_words
from loadgen.errors import EngineFault, HarnessFault, Interrupted, LoadgenError, ServerFault

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.containers.daemon import ContainerExit
    from loadgen.containers.group import ContainerExits

SIGNALLED = 128
"""Exit codes above this one name the signal that killed the process."""


def how(ended: ContainerExit, memory: str, log: Path) -> str:
    """Return the exit report of a container: how it ended, and its last log lines."""
    if ended.out_of_memory:
        what = f"ran out of memory (its limit is {memory})"
    elif ended.code > SIGNALLED:
        try:
            what = f"was killed by {signal.Signals(ended.code - SIGNALLED).name}"
        except ValueError:
            what = f"ended with exit code {ended.code}"
    else:
        what = f"ended with exit code {ended.code}"
    return "\n  ".join((what, *last_words(log)))


def broke(ended: ContainerExit | None) -> bool:
    """Return whether a server exited abnormally."""
    return ended is not None and bool(ended.code or ended.out_of_memory)


def fault(
    ends: ContainerExits, said: LoadgenError | None, *, phase: str, memory: str, log: Path, driver_log: Path
) -> LoadgenError:
    """Return the error to report; *said* is the error that the driver reported, if any."""
    server, driver = ends.server, ends.driver
    if isinstance(said, Interrupted) and server is not None and broke(server):
        said = None  # interrupted by us, as a consequence
    if isinstance(said, ServerFault) and server is not None and server.code == SIGNALLED + signal.SIGINT:
        return said  # the server was stopped by us, as a consequence
    if server is not None and broke(server):
        kind = ServerFault if phase == "record" else EngineFault
        before = f"\nbefore that: {said.message}" if said is not None else ""
        more = " Raise the limit: --memory 1g." if server.out_of_memory else ""
        return kind(
            f"the container of the server to {phase} {how(server, memory, log)}{before}",
            advice=f"See {log}.{more}",
        )
    if said is not None:
        return said
    if driver is None:
        return EngineFault(
            f"the server to {phase} exited before the load generator connected", advice=f"See {log}."
        )
    return HarnessFault(
        f"the load generator's container {how(driver, memory, driver_log)}",
        advice=f"See {driver_log}." + (" Raise the limit: --memory 1g." if driver.out_of_memory else ""),
    )
