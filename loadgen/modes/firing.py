"""Sends a session's requests from this process, or from several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.client.numbering import Numbering
from loadgen.client.scenario import Scenario
from loadgen.client.senders import Sending
from loadgen.client.session import fire_load
from loadgen.core import schedules
from loadgen.core.events import Story
from loadgen.modes.parts import fire_in_parts

if TYPE_CHECKING:
    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.stop import Stop
    from loadgen.modes.base import Session
    from loadgen.store.journal import Journal


async def fire_here(session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
    """Send the session's requests to *url*, from this process or those that it starts."""
    load = session.spec.load

    def say(line: str) -> None:
        emit(Story(line=line))

    if not isinstance(session.scenario, Scenario):
        sending = Sending(session.spec, session.run.path, url, journal, stop, say)
        return await session.scenario.send(sending)
    if (processes := min(load.client_processes, len(load.users))) > 1:
        return await fire_in_parts(session, url, journal, stop, emit, processes)
    numbering = _numbering(session.spec.explore.script)
    return await fire_load(url, session.scenario, journal, load, stop=stop, say=say, numbering=numbering)


def _numbering(script: str | None) -> Numbering | None:
    """Return the order in which a *script* of choices was recorded."""
    if script is None:
        return None
    with Path(script).open(encoding="utf-8") as lines:
        return Numbering(schedules.users(lines))
