"""A process that runs a part of a session's virtual users, and writes into the session's journal.

It emits its figures a few times a second, and how its part ended, on standard output. It stops when its
standard input closes: its parent asks for that, or has exited.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from loadgen.client.plan import plan
from loadgen.client.scenario import Scenario
from loadgen.client.session import Part, fire_load
from loadgen.core.events import Story, to_line
from loadgen.core.stop import Stop
from loadgen.store.journal import PartJournal
from loadgen.store.numbers import Numbers
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from loadgen.core.events import Emit, Event, SessionEnd
    from loadgen.core.jobs import FirePart

EVERY = 0.1
"""Seconds between two reports."""


def run(job: FirePart) -> None:
    """Run the users of the part of *job*, and emit its events."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # output of a scenario is not an event

    def emit(event: Event) -> None:
        out.write(to_line(event) + b"\n")
        out.flush()

    folder = RunFolder(Path(job.run))
    with PartJournal(folder.transcript, folder.bodies, Numbers(job.numbers), job.began) as journal:

        async def session() -> SessionEnd:
            stop = Stop()

            async def stop_with_input() -> None:
                await anyio.wait_readable(sys.stdin)
                stop.requested = True

            async def report() -> None:
                while True:
                    await anyio.sleep(EVERY)
                    emit(journal.figures())

            async with anyio.create_task_group() as beside:
                beside.start_soon(stop_with_input)
                beside.start_soon(report)
                end = await _fire(job, journal, stop, emit)
                beside.cancel_scope.cancel()
            return end

        end = anyio.run(session)
        emit(journal.figures())
    emit(end)


async def _fire(job: FirePart, journal: PartJournal, stop: Stop, emit: Emit) -> SessionEnd:
    load = job.spec.load
    scenario, _ = plan(job.spec.traffic)
    assert isinstance(scenario, Scenario), "the requests of others are not divided"
    return await fire_load(
        job.url,
        scenario,
        journal,
        load,
        stop=stop,
        say=lambda line: emit(Story(line=line)),
        part=Part(job.part, load.client_processes),
    )
