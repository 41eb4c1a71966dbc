"""Divides the virtual users of a session among several client processes, which write one journal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from loadgen.core.events import PartFigures, SessionEnd, from_line
from loadgen.core.jobs import ENTRY, FirePart
from loadgen.core.spec import absolute, to_json
from loadgen.engine.log import ending
from loadgen.engine.traced_process import lines
from loadgen.errors import HarnessFault
from loadgen.store.numbers import Numbers

if TYPE_CHECKING:
    from anyio.abc import Process

    from loadgen.core.events import Emit
    from loadgen.core.stop import Stop
    from loadgen.modes.base import Session
    from loadgen.store.journal import Journal

LOOK_EVERY = 0.05
"""Seconds between two checks for a stop."""


async def fire_in_parts(
    session: Session, url: str, journal: Journal, stop: Stop, emit: Emit, processes: int
) -> SessionEnd:
    """Send the session's requests to *url*, from so many *processes*.

    Raises:
        HarnessFault: one of them died. What was written until then is in the journal.
    """
    numbers = Numbers()
    try:
        parts = _Parts(journal, numbers, emit, processes)
        async with anyio.create_task_group() as group:
            for number in range(processes):
                job = _job(session, url, journal, numbers, number, processes)
                group.start_soon(parts.run, job, stop, group.cancel_scope)
    finally:
        numbers.close()
    if parts.failed is not None:
        raise parts.failed
    return replace(_summed(parts.ends), interrupted=stop.requested)


def _job(
    session: Session, url: str, journal: Journal, numbers: Numbers, number: int, processes: int
) -> FirePart:
    spec = absolute(session.spec, lambda path: str(Path(path).resolve()))
    return FirePart(
        spec=replace(spec, server_env=(), load=replace(spec.load, client_processes=processes)),
        url=url,
        run=str(session.run.path.resolve()),
        part=number,
        numbers=numbers.descriptor,
        began=journal.began,
    )


class _Parts:
    """The processes, with their figures and how each ended."""

    def __init__(self, journal: Journal, numbers: Numbers, emit: Emit, processes: int) -> None:
        self._journal = journal
        self._numbers = numbers
        self._emit = emit
        self._figures: list[PartFigures | None] = [None] * processes
        self.ends: list[SessionEnd] = []
        self.failed: HarnessFault | None = None

    async def run(self, job: FirePart, stop: Stop, all_: anyio.CancelScope) -> None:
        """Run one process until it has ended; if it dies, cancel *all_* of them."""
        process = await anyio.open_process(
            # -P: something named loadgen in the working directory must not be imported
            [sys.executable, "-P", "-m", ENTRY, to_json(job).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
            pass_fds=(job.numbers,),
        )
        end: SessionEnd | None = None
        over = False  # whether it has closed its output by itself
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(_pass_on, stop, process)
                async for line in lines(process):
                    match from_line(line):
                        case PartFigures() as figures:
                            self._figures[job.part] = figures
                            known = [one for one in self._figures if one is not None]
                            self._journal.take_over(self._numbers.last, known)
                        case SessionEnd() as end:
                            self.ends.append(end)
                        case None:
                            pass
                        case event:
                            self._emit(event)
                over = True
                beside.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                if not over:
                    process.kill()
                code = await process.wait()
                await process.aclose()
        if end is None:
            all_.cancel()
            self.failed = self.failed or HarnessFault(
                f"client process {job.part + 1} of {job.spec.load.client_processes} died: {ending(code)}",
                advice="Its last words are above. What was recorded until then is kept.",
            )


async def _pass_on(stop: Stop, process: Process) -> None:
    while not stop.requested:  # noqa: ASYNC110 - set by whoever stops the run
        await anyio.sleep(LOOK_EVERY)
    assert process.stdin is not None
    await process.stdin.aclose()


def _summed(ends: list[SessionEnd]) -> SessionEnd:
    errors: dict[str, int] = {}
    for end in ends:
        for what, count in end.errors.items():
            errors[what] = errors.get(what, 0) + count
    return SessionEnd(
        iterations=sum(end.iterations for end in ends),
        failed=sum(end.failed for end in ends),
        errors=errors,
        waited=sum(end.waited for end in ends),
        longest_wait=max(end.longest_wait for end in ends),
    )
