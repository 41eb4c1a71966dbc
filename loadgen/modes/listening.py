"""A server whose whole process is traced, on this machine: it opens its own sockets.

No readiness probe is on the tape: the tap reports that the kernel accepts connections, and the first
connection is that of a virtual user.
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from loadgen.core.address import reached_at
from loadgen.engine import retrace
from loadgen.engine.scratch import new_database, recorded
from loadgen.engine.traced_process import END_LIMIT, TracedProcess, traced
from loadgen.errors import EngineFault, ServerFault
from loadgen.modes.base import START_LIMIT, Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.modes.base import Session

SETTLING = 0.75
"""Seconds between the last answer and the stop of a server. The engine ends its replay at the signal,
whatever its threads still have to do, so the last answer would be missing. And it records a signal only if
that interrupts a call: Flask's server waits in one for half a second at a time."""


class ListeningServer:
    """A listening server; see :class:`loadgen.modes.base.RecordedServer`."""

    def __init__(self, process: TracedProcess, url: str, database: Path) -> None:
        self.url = url
        self.ended = process.ended
        self.exit_report = process.exit_report
        self._process = process
        self._database = database

    async def served(self) -> Served:
        """Return what can be seen from outside.

        Raises:
            EngineFault: the server is gone.
        """
        if self._process.code is not None:
            raise EngineFault(
                f"the recorded server crashed: {await self._process.exit_report()}",
                advice="The engine sometimes crashes when it records concurrent threads of a whole process. "
                f"See {self._process.log}, and docs/replay-modes.md.",
            )
        return Served([], self._database.exists())

    async def stop(self) -> None:
        """Stop the server so that its recording is complete.

        Raises:
            EngineFault: it crashed, or did not exit.
        """
        await anyio.sleep(SETTLING)
        self._process.interrupt()
        how = await self._process.exit_report(END_LIMIT)
        if how is None:
            raise EngineFault(
                f"the recorded server did not stop within {END_LIMIT:g} s, so its recording is not complete"
            )
        if not self._process.ended_well:
            raise EngineFault(f"the recorded server failed at its end: {how}")


@asynccontextmanager
async def listening(session: Session) -> AsyncIterator[ListeningServer]:
    """Run the server under the recording engine; its database is deleted afterwards."""
    spec, run, target = session.spec, session.run, session.target
    started = session.manifest.result.started
    started.database = new_database()

    def command(options: Sequence[str]) -> list[str]:
        return retrace.record_command(
            run.recording.resolve(),
            target.argv,
            [*options, "--import-from", target.import_from],
            stacks=spec.stacks,
            launcher=retrace.PROCESS,
            server=target.python,
        )

    given = retrace.chosen(spec.server_env)
    environment = retrace.process_environment({"DB_FILE": started.database, **given})
    with recorded(run.recording, started.database):
        async with traced(command, environment, run.log, started.cwd) as process:
            host, port = await _address(process)
            url = f"http://{reached_at(host)}:{port}"
            yield ListeningServer(process, url, Path(started.database))


async def _address(process: TracedProcess) -> tuple[str, int]:
    with anyio.move_on_after(START_LIMIT):
        async for line in process.lines():
            if found := told_address(line):
                return found
    how = await process.exit_report() or f"it did not listen within {START_LIMIT:g} s"
    raise ServerFault(f"the server to record did not start: {how}", advice=f"See {process.log}.")


def told_address(line: bytes) -> tuple[str, int] | None:
    """Return host and port from a *line* of :mod:`loadgen.traced.tap`; None if it tells no such address."""
    match line.split():
        case [b"listening", _, address]:
            name = json.loads(base64.b64decode(address))
            return None if isinstance(name, str) else (str(name[0]), int(name[1]))
    return None
