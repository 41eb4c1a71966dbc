"""A server whose whole process is traced: it opens its own sockets, and says itself when it listens.

No probe is on the tape: the tap tells that the kernel takes connections, and the first one is that of a
virtual user. There is no boundary, so nobody knows the order in which requests entered the application.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from loadgen.engine import retrace
from loadgen.engine.process import END_LIMIT, Traced, traced
from loadgen.errors import EngineFault, ServerFault
from loadgen.runtimes.files import new_database, recorded
from loadgen.runtimes.processes import end_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from loadgen.engine.target import Target
    from loadgen.store.run_folder import Manifest, RunFolder

START_LIMIT = 60.0
"""Seconds that a server may take until it listens."""
SETTLING = 0.75
"""Seconds that a server gets after its last answer, until it is stopped. The engine ends its replay where the
recorded signal came, whatever its threads still had to do: the last answer would be missing. And a signal is
on the tape only where it interrupts a call: Flask's server waits in one for half a second at a time."""


class WholeServer:
    """A server that listens; see :class:`loadgen.runtimes.Recorded`."""

    def __init__(self, process: Traced, url: str, database: Path) -> None:
        self.url = url
        self.control = _NoBoundary(process, database)
        self.ended = process.ended
        self.obituary = process.obituary
        self._process = process

    async def stop(self) -> None:
        """End it so that its recording is complete.

        Raises:
            EngineFault: it crashed, or did not end.
        """
        await anyio.sleep(SETTLING)
        self._process.interrupt()
        how = await self._process.obituary(END_LIMIT)
        if how is None:
            raise EngineFault(
                f"the recorded server did not stop within {END_LIMIT:g} s, so its recording is not complete"
            )
        if not self._process.ended_well:
            raise EngineFault(f"the recorded server did not end well: {how}")


@dataclass(frozen=True, slots=True)
class _State:
    database: bool


class _NoBoundary:
    def __init__(self, process: Traced, database: Path) -> None:
        self._process = process
        self._database = database

    async def state(self) -> _State:
        """Look at what can be seen from outside."""
        return _State(self._database.exists())

    async def order(self) -> list[int]:
        """Return nothing: nobody saw it.

        Raises:
            EngineFault: the server is gone.
        """
        if self._process.code is not None:
            raise EngineFault(
                f"the recorded server crashed: {await self._process.obituary()}",
                advice="The engine is known to crash where it records concurrent threads of a whole process. "
                f"See {self._process.log}, and docs/replay-modes.md.",
            )
        return []


class WholeRuntime:
    """Local processes, traced as a whole; see :class:`loadgen.runtimes.Recorder`."""

    name = "local"

    def __init__(self, server_env: Mapping[str, str] | None = None) -> None:
        """Give the server *server_env* beside its own environment."""
        self._server_env = dict(server_env or {})

    def database(self) -> str:
        """Name a database in a new folder of its own."""
        return new_database()

    @asynccontextmanager
    async def record(self, target: Target, run: RunFolder, manifest: Manifest) -> AsyncIterator[WholeServer]:
        """Run *target* under the recording engine; its database is gone afterwards."""

        def command(options: Sequence[str]) -> list[str]:
            return retrace.record_command(
                run.recording.resolve(),
                target.argv,
                [*options, "--import-from", target.import_from],
                stacks=manifest.stacks,
                launcher=retrace.WHOLE,
            )

        manifest.server_env = sorted(self._server_env)
        environment = retrace.whole_environment({"DB_FILE": manifest.database, **self._server_env})
        with recorded(run.recording, manifest.database):
            async with traced(command, environment, run.log, manifest.cwd) as process:
                try:
                    url = f"http://127.0.0.1:{await _port(process)}"
                    yield WholeServer(process, url, Path(manifest.database))
                finally:
                    end_session(process.pid)


async def _port(process: Traced) -> int:
    line: bytes | None = None
    with anyio.move_on_after(START_LIMIT):
        line = await anext(process.lines(), None)
    if line is None:
        how = await process.obituary() or f"it did not listen within {START_LIMIT:g} s"
        raise ServerFault(f"the server to record did not start: {how}", advice=f"See {process.log}.")
    return int(line.split()[1])
