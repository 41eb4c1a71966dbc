"""The files of a server that is recorded on this machine: its database and its recording."""

from __future__ import annotations

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


def folders() -> Iterator[tuple[Path, bool]]:
    """Yield the temporary folders on this machine, and of each whether its process has exited."""
    for folder in sorted(Path(tempfile.gettempdir()).glob("loadgen-*.*.*-*")):
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
