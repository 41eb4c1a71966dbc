"""The files of a server that is recorded on this machine: its database and its recording."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.engine.retrace import empty_recording

if TYPE_CHECKING:
    from collections.abc import Iterator


def new_database() -> str:
    """Name a database in a new folder of its own."""
    return str(Path(tempfile.mkdtemp(prefix="loadgen-")) / "app.db")


@contextmanager
def recorded(recording: Path, database: str) -> Iterator[None]:
    """Create the file of a *recording*; the server's *database* is removed afterwards."""
    empty_recording(recording)
    try:
        yield
    finally:
        shutil.rmtree(Path(database).parent, ignore_errors=True)
