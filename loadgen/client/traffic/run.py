"""A recorded run as traffic: its requests are sent again, in their causal order, and recorded anew.

As in a replay, a request is sent, with the recorded bytes, when every completion that the recording client
had seen before it has been seen again. Values from earlier answers are those of the new answers. Nothing is
compared, and answers may differ. If the client had disconnected early, it disconnects again after the same
time. If there was no answer for another reason, nothing waits for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen.client.arriving import Arriving
from loadgen.client.recording import again
from loadgen.client.traffic.carrying import Carrier, providers, read, why_missing
from loadgen.core.exchange import Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import TaskGroup

    from loadgen.client.recording import Recorder
    from loadgen.client.traffic.call import Call
    from loadgen.core.exchange import Outcome
    from loadgen.core.stop import Stopping
    from loadgen.core.transcript import Reader

LEFT = "ClientLeft"
"""The kind of failure in which the client disconnected."""


@dataclass(slots=True)
class _Sent:
    request: Request
    number: int
    """The recorded number of the request."""
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
        calls: Mapping[int, Call],
        timeout: float,
        stop: Stopping,
        say: Callable[[str], None],
    ) -> None:
        """*calls* are the requests with values of earlier answers, and those with the answers, by number."""
        self._url = httpx.URL(url)
        self._transport = transport
        self._journal = journal
        self._timeout = timeout
        self._stop = stop
        self._say = say
        self._calls = calls
        self._needed = providers(calls.values())
        self._carrier = Carrier(self._needed)

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
        now = self._current(event)
        issued = self._journal.issue(now.user, now.method, now.target, now.headers, now.body)
        began = anyio.current_time()
        one = _Sent(issued, event.seq, at, anyio.CancelScope(deadline=began + self._timeout), began)
        sending.start_soon(self._send, one)
        return one

    def _current(self, request: Request) -> Request:
        """Return *request* with the values of the new answers."""
        call = self._calls.get(request.seq)
        if call is None:
            return request
        filled, missing = self._carrier.filled(call)
        for bound in missing:
            self._say(
                f"{call.method} {call.target} is sent with the recorded value: "
                f"{why_missing(bound, self._calls)}"
            )
        headers, length = filled.headers, str(len(filled.body))
        if len(filled.body) != len(request.body):
            headers = tuple(
                (name, length if name.lower() == "content-length" else value) for name, value in headers
            )
        return replace(request, target=filled.target, headers=headers, body=filled.body)

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
        if one.number in self._needed and isinstance(outcome, Response):
            self._carrier.seen(one.number, read(outcome))
        self._journal.complete(outcome)
        one.answered.set()
