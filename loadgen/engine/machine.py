"""What this machine gives to a session: open files and threads."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

from loadgen.errors import MachineFault

SPARE: Final = 64
"""Open files, and threads, that a session has beside those of its virtual users."""
THREADS: Final = 2
"""Threads of the server for each open request: the live one, and the traced one."""


def check_room(users: int) -> None:
    """Check that *users* can have an open request each.

    Raises:
        MachineFault: a limit of this machine is lower; the message names it.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < users + SPARE:
        needed = f"{users:,} virtual users need {users + SPARE:,} open files"
        raise MachineFault(
            f"{needed}, and at most {files:,} are allowed here",
            advice=f"Raise the limit: ulimit -n {2 * (users + SPARE)}; or give fewer users: --concurrency.",
        )
    free = _free_tasks(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    if free is not None and free < THREADS * users + SPARE:
        needed = f"{users:,} virtual users need {THREADS * users + SPARE:,} threads"
        raise MachineFault(
            f"{needed}, and this control group may have {free:,} more (pids.max)",
            advice="Raise the limit, in a container with --pids-limit; or give fewer users: --concurrency.",
        )


def _free_tasks(membership: Path, root: Path) -> int | None:
    """Return how many more threads the control groups of this process allow; None if there is no limit."""
    free: int | None = None
    try:
        lines = membership.read_text().splitlines()
        group = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        here = root / group.lstrip("/")
        for folder in (here, *here.parents):
            if not folder.is_relative_to(root):
                break
            limit = folder / "pids.max"
            if limit.exists() and (most := limit.read_text().strip()) != "max":
                left = int(most) - int((folder / "pids.current").read_text())
                free = left if free is None else min(free, left)
    except (OSError, ValueError, StopIteration):
        return None  # another kind of control groups: no limit is known
    return free
