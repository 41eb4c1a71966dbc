"""The boundary mode: the application is replayed from its boundary inward; requests are sent again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loadgen.core.judge import BOUNDARY
from loadgen.core.spec import ModeName
from loadgen.core.verdict import CallLog
from loadgen.errors import EngineFault, LoadgenError
from loadgen.modes.base import ALIGNMENT
from loadgen.store.reach import write_reach

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.stop import Stop
    from loadgen.core.transcript import Reader
    from loadgen.modes.base import Host, RecordedServer, Session
    from loadgen.modes.replaying import Replaying
    from loadgen.store.journal import Journal
    from loadgen.store.run_folder import RunFolder


class BoundaryMode:
    """See :class:`loadgen.modes.base.Mode`."""

    name = ModeName.BOUNDARY
    terms = BOUNDARY

    def __init__(self, host: Host) -> None:
        self._host = host

    def tape(self, run: RunFolder) -> Path:
        """Return the server's recording."""
        return run.recording

    def record(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the server with a request boundary."""
        return self._host.record(session)

    async def fire(self, session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
        """Run the virtual users in this process."""
        from loadgen.modes.firing import fire_here  # noqa: PLC0415 - a replay does without

        return await fire_here(session, url, journal, stop, emit)

    async def replay(self, replaying: Replaying, events: Reader, journal: Journal) -> None:
        """Replay the server, and send the transcript's requests again."""
        one = replaying
        if not self._host.aligns:
            one.align = ()
        try:
            await self._replay(one, events, journal)
        finally:
            if one.align and one.asked is None:
                one.asked = asked_before_it_served(one.log.with_name(ALIGNMENT))

    async def _replay(self, one: Replaying, events: Reader, journal: Journal) -> None:
        async with self._host.replay(one.run, one.manifest, one.log, one.moved, align=one.align) as server:
            from loadgen.client.replay import Refire  # noqa: PLC0415 - its imports are those of the server

            refire = Refire(server.url, server.transport, server.control, journal, one.judge, one.timeout)
            if one.log_calls is not None:
                await server.control.log_calls(one.log_calls)
            async with one.timed(journal):
                try:
                    await refire.run(one.seen(events, journal))
                    if events.ended:
                        await refire.finish_transcript(one.requests)
                except LoadgenError as error:
                    if how := await server.exit_report():
                        raise EngineFault(
                            f"the replayed server died: {how}\nbefore that: {error.message}",
                            advice=f"See {one.log}.",
                        ) from error
                    raise
                finally:
                    if one.align:
                        one.asked = await server.control.alignment()
                        if one.asked is None:
                            one.judge.doubt(EngineFault("the calls of the changed code were not reported"))
                    if self._host.reaches and (reached := await server.control.reached()) is not None:
                        write_reach(one.folder, reached)
                    if one.log_calls is not None:
                        call_log = CallLog(one.log_calls, await server.control.call_log())
                        one.facts = replace(one.facts, call_log=call_log)
                one.client_order_same = refire.client_order_same


def asked_before_it_served(report: Path) -> dict[str, Any] | None:
    """Return the calls of a server whose start failed at a call without an answer; None if it did not."""
    try:
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EngineFault(f"{report} cannot be read: {error}") from error
    return told
