"""The replay scheduler: re-fires a transcript in its own causal order.

A request may be sent when every completion that the recording client had seen before it has been seen again.
The transcript's order of events expresses exactly that, so one pass over it is the schedule: at a ``request``
line, send; at a ``response`` line, wait until that request is answered again. Nothing else is waited for,
think time is not replayed, and as many requests are open at once as while recording. At the ``response``
line, the recorded and the replayed answer are compared and dropped, so memory does not grow with the
transcript.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen.client.arriving import Arriving
from loadgen.client.recording import again
from loadgen.core.comparison import OUTCOME_HEADER, header
from loadgen.core.departure import Departure
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import End, Order
from loadgen.errors import EngineFault, HarnessFault, LoadgenError, RecordingFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anyio.abc import TaskGroup

    from loadgen.client.control import BoundaryState, Control
    from loadgen.client.transport import WireTransport
    from loadgen.core.exchange import Outcome
    from loadgen.core.judge import Judge
    from loadgen.core.transcript import Event
    from loadgen.store.journal import Journal


SILENT = 1.0
"""Seconds in which a server that has ended a request sends the rest of its answer, if it sends any."""
MOVING = 1.0
"""Seconds without a step on the tape after which a replay counts as hung rather than slow."""


@dataclass(slots=True)
class _Sent:
    request: Request
    answered: anyio.Event = field(default_factory=anyio.Event)
    sending: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    outcome: Outcome | None = None


class Refire:
    """One replay of one transcript against the server at *url*."""

    def __init__(
        self, url: str, wire: WireTransport, control: Control, journal: Journal, judge: Judge, timeout: float
    ) -> None:
        self._url = httpx.URL(url)
        self._wire = wire
        self._control = control
        self._journal = journal
        self._judge = judge
        self._timeout = timeout
        self._recorded_order = sha256()
        self._replayed_order = sha256()
        self._order: list[int] | None = None

    @property
    def client_order_same(self) -> bool:
        """Whether the completions have been seen in the recorded order so far."""
        return self._recorded_order.digest() == self._replayed_order.digest()

    async def run(self, events: Iterable[Event]) -> None:
        """Send the requests of *events* again; the judge gets each pair of answers and the server's order.

        Raises:
            EngineFault: the replay hangs, or stopped answering.
            RecordingFault: a request without an answer in the recording has none in the replay, either.
            TranscriptFault: the transcript is damaged.
        """
        stopped: LoadgenError | None = None
        async with anyio.create_task_group() as sending:
            try:
                await self._schedule(events, sending)
            except LoadgenError as error:  # kept outside the task group, which would wrap it
                stopped = error
            # Open requests have no end in the transcript, and may wait for requests that are never sent.
            sending.cancel_scope.cancel()
        if stopped is not None:
            raise stopped

    async def _schedule(self, events: Iterable[Event], sending: TaskGroup) -> None:
        sent: dict[int, _Sent] = {}
        broken_off: list[tuple[_Sent, Failure]] = []
        for event in events:
            match event:
                case Request():
                    sent[event.seq] = one = _Sent(event)
                    self._journal.resume(event)
                    sending.start_soon(self._send, one)
                    await anyio.lowlevel.checkpoint()  # so that requests are sent in order
                case Response():
                    await self._meet(sent.pop(event.seq), event)
                case Failure():  # its client waited for the server no longer
                    broken_off.append((sent.pop(event.seq), event))
                case Order(steps=steps):
                    await self._meet_all(broken_off)
                    self._judge.order_piece(steps, await self._server_order())
                case End():
                    await self._meet_all(broken_off)
                case _:
                    pass
        self._judge.order_end(await self._server_order())

    async def _meet_all(self, broken_off: list[tuple[_Sent, Failure]]) -> None:
        """Wait for the ends of requests that the recording client gave up; the tape may have none of them."""
        if broken_off and not all(one.answered.is_set() for one, _ in broken_off):
            try:
                await self._control.all_sent()
            except httpx.TransportError as error:
                raise EngineFault(f"the replay server stopped answering at the end: {error}") from error
            await self._meet_silence([one for one, _ in broken_off])
        for one, recorded in broken_off:
            await self._meet(one, recorded)
        broken_off.clear()

    async def finish_transcript(self, requests: int) -> None:
        """Close the replay's own transcript."""
        self._journal.end(await self._server_order(), requests)

    async def _server_order(self) -> list[int]:
        if self._order is None:
            try:
                self._order = await self._control.order()
            except httpx.TransportError as error:
                raise EngineFault(f"the replayed server stopped answering at the end: {error}") from error
        return self._order

    async def _send(self, one: _Sent) -> None:
        request = one.request
        # How long it may take is the limit of _meet.
        arriving = Arriving(request.seq)
        with one.sending:
            outcome = await arriving.outcome(self._wire, again(request, self._url))
        if one.sending.cancelled_caught:
            outcome = arriving.failure("ReadTimeout", "the server has ended the request, and sends nothing")
        self._journal.complete(outcome)
        self._replayed_order.update(b"%d," % request.seq)
        one.outcome = outcome
        one.answered.set()

    async def _meet(self, one: _Sent, recorded: Outcome) -> None:
        """Wait for the end of a request in the replay, and judge it beside the recorded one."""
        with anyio.move_on_after(self._timeout):
            await one.answered.wait()
        if one.outcome is None:
            state = await self._state(one.request)
            if state.tape and state.tape["idle"] < MOVING:
                raise HarnessFault(
                    f"no answer to {one.request} in {self._timeout:g} s, although the replay makes progress",
                    advice="The machine is too busy for this limit: give a longer --timeout.",
                )
            if isinstance(recorded, Failure) and not state.waits(one.request.seq):
                raise RecordingFault(
                    f"{one.request} had no answer while recording either ({recorded.kind}), and got none in "
                    f"{self._timeout:g} s of the replay: the application computes, or waits, without end",
                    advice="Record again without this request, or with the application mended.",
                )
            raise EngineFault(
                f"the replay hangs: no answer to {one.request} in {self._timeout:g} s. {state.waits_for()}",
                advice="See the replay's server.log.",
            )
        left: Departure | None = None
        replayed = one.outcome
        if isinstance(replayed, Failure) or header(replayed, OUTCOME_HEADER) is not None:
            left = _told(replayed) or (await self._state(one.request)).diverged.get(recorded.seq)
            if isinstance(replayed, Failure) and left is None and isinstance(recorded, Response):
                raise EngineFault(
                    f"the replay gave no answer to {one.request}: {replayed.kind} {replayed.message}",
                    advice="See the replay's server.log.",
                )
        self._recorded_order.update(b"%d," % recorded.seq)
        self._judge.pair(one.request, recorded, replayed, left)

    async def _meet_silence(self, those: list[_Sent]) -> None:
        """Wait for answers that the recording client did not get: the server may send none of some."""
        ended = set[int]()
        with anyio.move_on_after(self._timeout):
            while True:
                with anyio.move_on_after(SILENT):
                    for one in those:
                        await one.answered.wait()
                    return
                for one in those:
                    if one.request.seq in ended:
                        one.sending.cancel()
                try:
                    is_open = (await self._control.state()).open
                    finished = set(await self._control.order())
                except httpx.TransportError:  # for _meet
                    return
                ended = {seq for one in those if -(seq := one.request.seq) in finished and seq not in is_open}

    async def _state(self, request: Request) -> BoundaryState:
        try:
            return await self._control.state()
        except httpx.TransportError as error:
            raise EngineFault(
                f"the replayed server stopped answering at {request}: {type(error).__name__} {error}",
                advice="See the replay's server.log.",
            ) from error


def _told(answer: Outcome) -> Departure | None:
    """Return the boundary's report on a request that left the tape, from its answer."""
    try:
        told = json.loads(answer.body) if isinstance(answer, Response) else {}
        return Departure.from_json(told)
    except ValueError:
        return None
