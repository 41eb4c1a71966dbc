"""The files of a server that is recorded on this machine: its database and its recording."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.engine import owner
from loadgen.engine.retrace import empty_recording

if TYPE_CHECKING:
    from collections.abc import Iterator


def prefix() -> str:
    """Return how the name of a temporary folder of this process begins: it says whose it is."""
    return f"loadgen-{owner.mine().replace('/', '.')}-"


MEMORY = Path("/dev/shm")  # noqa: S108 - new folders in it are private
"""Files in it are in memory, not on a disk."""


def private_folder() -> Path:
    """Create a folder that only this user can read, in memory if this machine has such a place."""
    there = str(MEMORY) if os.access(MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=prefix(), dir=there))


def folders() -> Iterator[tuple[Path, bool]]:
    """Yield the temporary folders on this machine, and of each whether its process has exited."""
    places = (Path(tempfile.gettempdir()), MEMORY)
    for folder in sorted(one for place in places for one in place.glob("loadgen-*.*.*-*")):
        *host, process, started = folder.name.removeprefix("loadgen-").rpartition("-")[0].split(".")
        yield folder, owner.abandoned(f"{'.'.join(host)}/{process}/{started}")


def new_database() -> str:
    """Return the path of a database in a new folder."""
    return str(Path(tempfile.mkdtemp(prefix=prefix())) / "app.db")


@contextmanager
def recorded(recording: Path, database: str) -> Iterator[None]:
    """Create the file of a *recording*; the server's *database* is removed afterwards."""
    empty_recording(recording)
    try:
        yield
    finally:
        shutil.rmtree(Path(database).parent, ignore_errors=True)
