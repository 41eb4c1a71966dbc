"""A recorded run as traffic: its requests are sent again, in their causal order, and recorded anew.

As in a replay, a request is sent, with the recorded bytes, when every completion that the recording client
had seen before it has been seen again. Nothing is compared, and answers may differ. If the client had
disconnected early, it disconnects again after the same time. If there was no answer for another reason,
nothing waits for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen.client.arriving import Arriving
from loadgen.client.recording import again
from loadgen.core.exchange import Failure, Request, Response

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from loadgen.client.recording import Recorder
    from loadgen.core.exchange import Outcome
    from loadgen.core.stop import Stopping
    from loadgen.core.transcript import Reader

LEFT = "ClientLeft"
"""The kind of failure in which the client disconnected."""


@dataclass(slots=True)
class _Sent:
    request: Request
    at: float
    """When the request was sent in the recorded run."""
    scope: anyio.CancelScope
    began: float
    answered: anyio.Event = field(default_factory=anyio.Event)
    leaves: bool = False
    """Whether the client disconnects at the scope's deadline."""


class Again:
    """Sends a run's requests to *url* through *transport*."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport,
        journal: Recorder,
        *,
        timeout: float,
        stop: Stopping,
    ) -> None:
        self._url = httpx.URL(url)
        self._transport = transport
        self._journal = journal
        self._timeout = timeout
        self._stop = stop

    async def run(self, events: Reader) -> None:
        """Send the requests of *events*, each when it may be sent, and wait for the last answer.

        Raises:
            TranscriptFault: the transcript is damaged.
        """
        async with anyio.create_task_group() as sending:
            await self._schedule(events, sending)

    async def _schedule(self, events: Reader, sending: TaskGroup) -> None:
        sent: dict[int, _Sent] = {}
        for event in events:
            if self._stop.requested:
                return
            match event:
                case Request():
                    sent[event.seq] = self._begin(event, events.at or 0, sending)
                    await anyio.lowlevel.checkpoint()  # so that requests are sent in order
                case Response():
                    await sent.pop(event.seq).answered.wait()
                case Failure():
                    one = sent.pop(event.seq)
                    if event.kind == LEFT:
                        one.leaves = True
                        one.scope.deadline = one.began + max(0, (events.at or 0) - one.at)
                case _:
                    pass

    def _begin(self, event: Request, at: float, sending: TaskGroup) -> _Sent:
        issued = self._journal.issue(event.user, event.method, event.target, event.headers, event.body)
        began = anyio.current_time()
        one = _Sent(issued, at, anyio.CancelScope(deadline=began + self._timeout), began)
        sending.start_soon(self._send, one)
        return one

    async def _send(self, one: _Sent) -> None:
        request = one.request
        arriving = Arriving(request.seq)
        outcome: Outcome | None = None
        with one.scope:
            outcome = await arriving.outcome(self._transport, again(request, self._url))
        if outcome is None:
            outcome = (
                arriving.failure(LEFT, "the client left, as in the recorded run")
                if one.leaves
                else arriving.failure("ReadTimeout", f"no complete answer in {self._timeout:g} s")
            )
        self._journal.complete(outcome)
        one.answered.set()
