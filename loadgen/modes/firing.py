"""Sends a session's requests from this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.client.scenario import Scenario
from loadgen.client.senders import Sending
from loadgen.client.session import fire
from loadgen.core.events import Story

if TYPE_CHECKING:
    from loadgen.client.session import Stop
    from loadgen.core.events import Emit, SessionEnd
    from loadgen.modes.base import Session
    from loadgen.store.journal import Journal


async def fire_here(session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
    """Send the session's requests to *url*, from this process."""
    load = session.spec.load

    def say(line: str) -> None:
        emit(Story(line=line))

    if not isinstance(session.scenario, Scenario):
        sending = Sending(session.spec, session.run.path, url, journal, stop, say)
        return await session.scenario.send(sending)
    assert load.concurrency is not None
    return await fire(
        url,
        session.scenario,
        journal,
        concurrency=load.concurrency,
        iterations=load.iterations or 0,
        seed=load.seed,
        timeout=load.timeout,
        stop=stop,
        say=say,
        shape=load.shape,
    )
