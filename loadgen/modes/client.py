"""The client mode: a load generator under the engine, recorded together with its server, replayed without.

Its replay is one process that opens no socket. Everything that it receives, and when, comes from its tape. It
must reproduce the same events, in order, at the recorded times.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from loadgen import protocol
from loadgen.client.scenario_file import file_of, named_in_file
from loadgen.core import events as happened
from loadgen.core.comparison import REQUEST_FIELD, Difference, compare
from loadgen.core.comparison import told as ended
from loadgen.core.departure import Departure
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.jobs import ENTRY, Fire
from loadgen.core.judge import CLIENT
from loadgen.core.spec import ModeName, ScenarioTraffic, absolute, from_json, to_json
from loadgen.core.transcript import FailedIteration, decode
from loadgen.engine import retrace
from loadgen.engine.traced_process import END_LIMIT, TracedProcess, traced
from loadgen.errors import EngineFault, LoadgenError, RecordingFault
from loadgen.modes import program
from loadgen.store.code_digests import changed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.stop import Stop
    from loadgen.core.transcript import Event as Recorded
    from loadgen.core.transcript import Reader
    from loadgen.modes.base import Host, RecordedServer, Session
    from loadgen.modes.replaying import Replaying
    from loadgen.store.journal import Journal
    from loadgen.store.run_folder import RunFolder

LOOK_EVERY = 0.1
"""Seconds between two checks for a stop."""

Event = Request | Response | Failure | FailedIteration


@dataclass(frozen=True, slots=True)
class Timed:
    """An event of a client with its time, by the client's own clock."""

    event: Event
    at: float
    due: float | None = None

    def write_to(self, journal: Journal) -> None:
        """Write the event to *journal*."""
        match self.event:
            case Request():
                journal.resume(self.event, self.due, self.at)
            case FailedIteration():
                journal.write(self.event, self.at)
            case _:
                journal.complete(self.event, self.at)


class ClientMode:
    """See :class:`loadgen.modes.base.Mode`."""

    name = ModeName.CLIENT
    terms = CLIENT

    def __init__(self, host: Host) -> None:
        self._host = host

    def tape(self, run: RunFolder) -> Path:
        """Return the client's recording."""
        return run.client

    def record(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the server with a request boundary, so that the run can also be replayed in that mode."""
        return self._host.record(session)

    async def fire(self, session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
        """Run the virtual users in a process under the engine.

        Raises:
            EngineFault: that process crashed, or ended before the session did.
        """
        if session.spec.traces_program:
            return await program.fire(session, url, journal, stop, emit)
        run = session.run
        retrace.empty_recording(run.client)
        spec = replace(absolute(session.spec, lambda path: str(Path(path).resolve())), server_env=())
        job = to_json(Fire(spec=spec, url=url)).decode()

        def command(liveness: Sequence[str]) -> list[str]:
            words = ("-m", ENTRY, job)
            options = (*liveness, *_options(words))
            return retrace.record_command(run.client.resolve(), words, options, stacks=spec.stacks)

        log = run.path / "client.log"
        async with traced(command, retrace.environment({}), log) as process:
            client = _Client(process, emit)
            async with anyio.create_task_group() as group:

                async def release() -> None:
                    while not stop.requested:  # noqa: ASYNC110 - set by whoever stops the run
                        await anyio.sleep(LOOK_EVERY)
                    await process.release_input()

                group.start_soon(release)
                async for one in client:
                    one.write_to(journal)
                group.cancel_scope.cancel()
            how = await process.exit_report(END_LIMIT)  # its recording is complete when it has exited
        if client.end is None or not process.ended_well:
            raise EngineFault(f"the traced client failed: {how or 'it hangs'}", advice=f"See {log}.")
        return replace(client.end, interrupted=stop.requested)

    async def replay(self, replaying: Replaying, events: Reader, journal: Journal) -> None:
        """Replay the client, and compare each of its events with the recorded event in the same position."""
        if replaying.manifest.spec.traces_program:
            await program.replay(replaying, events, journal)
            return
        run, log = replaying.run, replaying.folder / "client.log"

        start = retrace.recorded_start(run.client)

        def command(liveness: Sequence[str]) -> list[str]:
            return retrace.replay_command(run.client.resolve(), (*liveness, *_options(start.words)))

        async with traced(command, start.environment, log, start.cwd) as process:
            async with replaying.timed(journal):
                await _Lockstep(replaying, process).run(events, journal)
            await process.exit_report()  # it is about to exit


def _options(words: Sequence[str]) -> tuple[str, ...]:
    """Return the launcher's options for the users that *words* start, the same for record and replay."""
    traffic = from_json(words[-1], Fire).spec.traffic if words else None
    name = traffic.scenario if isinstance(traffic, ScenarioTraffic) else ""
    return ("--application", str(file_of(name).parent) if named_in_file(name) else "")


class _Client:
    """The events of a traced client, as it emits them; see :mod:`loadgen.client.session_process`."""

    def __init__(self, process: TracedProcess, emit: Emit = happened.ignore) -> None:
        self._process = process
        self._emit = emit
        self._bodies: dict[str, bytes] = {}
        self.end: SessionEnd | None = None
        """The end of the session, once it is known."""
        self.left: Departure | None = None
        """Where a replay left the tape."""

    async def __aiter__(self) -> AsyncIterator[Timed]:
        async for line in self._process.lines():
            match happened.from_line(line):
                case happened.EntryBody(sha256=digest, base64=body):
                    self._bodies[digest] = base64.b64decode(body)
                case happened.Entry(name=name, fields=fields, at=at, due=due):
                    event = decode({"event": name, **fields}, self._bodies.pop)
                    assert isinstance(event, Event)
                    yield Timed(event, at, due)
                case happened.SessionEnd() as end:
                    self.end = end
                case happened.LeftTape(code=code, why=why, stack=stack):
                    self.left = Departure(code, why, stack)
                case happened.Story() as story:
                    self._emit(story)


class _Lockstep:
    """Compares the events of the replay with the recorded ones, one by one."""

    def __init__(self, replaying: Replaying, process: TracedProcess) -> None:
        self._replaying = replaying
        self._process = process
        self._client = _Client(process)
        self._open: dict[int, tuple[Request, tuple[Difference, ...]]] = {}
        self._latest: tuple[Request, tuple[Difference, ...]] | None = None
        self._events = 0

    async def run(self, events: Reader, journal: Journal) -> None:
        """Compare until there is nothing left to compare.

        Raises:
            EngineFault: the replay crashed, hangs, or ended too early.
        """
        recorded = self._replaying.seen(events, journal)
        await self._walk(events, recorded, journal)
        for _ in recorded:  # read to the end, to find out whether the transcript is complete
            pass

    async def _walk(self, events: Reader, everything: Iterator[Recorded], journal: Journal) -> None:
        judge, replayed = self._replaying.judge, aiter(self._client)
        for recorded in everything:
            if not isinstance(recorded, Event):
                continue
            now = await self._next(replayed)
            if now is None:
                await self._ended(recorded)
                return
            now.write_to(journal)
            self._events += 1
            seq = 0 if isinstance(recorded, FailedIteration) else recorded.seq
            if not judge.event(seq, _told(recorded), _told(now.event)):
                return  # later events cannot be compared one by one
            self._compare(recorded, now.event, (events.at, now.at))
        if not events.ended:
            return  # a truncated transcript does not show which events are additional
        if more := await self._next(replayed):
            judge.event(0, "(nothing)", _told(more.event))
        elif self._client.end is None:
            raise await self._died()
        journal.end([], self._replaying.requests)
        self._replaying.client_order_same = not more

    async def _next(self, replayed: AsyncIterator[Timed]) -> Timed | None:
        with anyio.move_on_after(self._replaying.timeout):
            return await anext(replayed, None)
        if how := await self._process.exit_report():
            raise EngineFault(f"the replayed client died: {how}", advice=f"See {self._process.log}.")
        raise EngineFault(
            f"the replay hangs: no event in {self._replaying.timeout:g} s after the first {self._events}",
            advice=f"See {self._process.log}.",
        )

    async def _ended(self, recorded: Event) -> None:
        """Report why the replay has no event in the position of *recorded*."""
        if self._client.left is None:
            raise await self._died()
        left = self._client.left
        if left.code == protocol.RECORDING_ENDS:
            raise RecordingFault(
                f"the client's recording ends after {self._events} events",
                advice="Check free disk space and limits on file sizes, and record again.",
                code=protocol.RECORDING_INCOMPLETE,
            )
        outcome = Difference("outcome", _told(recorded), f"left the tape: {left.why}")
        self._replaying.judge.note(self._request(recorded), (outcome,), left)

    def _request(self, event: Event) -> Request:
        """Return the request of *event*, or the latest one."""
        if isinstance(event, Request):
            return event
        asked = self._open.get(event.seq) or self._latest
        assert asked is not None
        return asked[0]

    async def _died(self) -> LoadgenError:
        how = await self._process.exit_report(END_LIMIT) or "it emitted nothing more"
        what = f"the replayed client ended after {self._events} events: {how}"
        if not self._replaying.manifest.image and (
            edited := changed(self._replaying.manifest.client_sources)
        ):
            return RecordingFault(
                f"{', '.join(edited)} changed after the recording; {what}",
                advice="If the change is wanted, record again.",
            )
        return EngineFault(what, advice=f"See {self._process.log}.")

    def _compare(self, recorded: Event, replayed: Event, at: tuple[float | None, float]) -> None:
        if isinstance(recorded, FailedIteration) or isinstance(replayed, FailedIteration):
            return  # compared completely
        late: tuple[Difference, ...] = ()
        if at[0] != at[1]:
            when = "sent at" if isinstance(recorded, Request) else "ended at"
            late = (Difference(when, f"{at[0]} s", f"{at[1]} s"),)
        if isinstance(recorded, Request):
            assert isinstance(replayed, Request)
            self._open[recorded.seq] = self._latest = recorded, (*late, *_asked(recorded, replayed))
            return
        assert not isinstance(replayed, Request)
        request, differences = self._open.pop(recorded.seq)
        both = compare(recorded, replayed, self._replaying.judge.rules)
        if isinstance(recorded, Failure) and isinstance(replayed, Failure) and recorded != replayed:
            both = both or (Difference("outcome", ended(recorded), ended(replayed)),)
        self._replaying.judge.note(request, (*differences, *both, *late))


def _told(event: Event) -> str:
    """Identify an event, without its content."""
    match event:
        case Request(seq=seq):
            return f"request {seq} is sent"
        case FailedIteration():
            return f"user {event.user}, iteration {event.iteration}: {event}"
    return f"request {event.seq} ends"


def _asked(recorded: Request, replayed: Request) -> tuple[Difference, ...]:
    return tuple(
        Difference(f"{REQUEST_FIELD}{name}", repr(before)[:200], repr(after)[:200])
        for name in ("user", "method", "target", "headers", "body")
        if (before := getattr(recorded, name)) != (after := getattr(replayed, name))
    )
