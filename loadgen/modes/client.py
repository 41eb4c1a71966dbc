"""The traced client: a load generator under the engine, recorded beside its server, replayed without any.

Its replay is one process that opens no socket: what it sends goes nowhere, and what it hears, and when, comes
from its tape. It must live the same events, in the same order, at the same times of the recorded clock.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import anyio

from loadgen import protocol
from loadgen.client.session import Outcome
from loadgen.core.comparison import REQUEST_FIELD, Difference, compare
from loadgen.core.departure import Departure
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import CLIENT
from loadgen.core.transcript import FailedIteration, decode
from loadgen.engine import retrace
from loadgen.engine.process import END_LIMIT, Traced, traced
from loadgen.errors import EngineFault, LoadgenError, RecordingFault
from loadgen.store.code_digests import changed
from loadgen.verify import Timed, seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from loadgen.client.session import Stop
    from loadgen.core.transcript import Event as Recorded
    from loadgen.core.transcript import Reader
    from loadgen.record import Settings
    from loadgen.store.journal import Journal
    from loadgen.store.run_folder import RunFolder
    from loadgen.verify import Case

MODULE = "loadgen.cli.apart"
LOOK_EVERY = 0.1
"""Seconds between two looks at whether to stop."""

Event = Request | Response | Failure | FailedIteration


@dataclass(frozen=True, slots=True)
class Lived:
    """What a client lived, and when, by its own clock."""

    event: Event
    at: float
    due: float | None = None

    def write_to(self, journal: Journal) -> None:
        """Write it down."""
        match self.event:
            case Request():
                journal.resume(self.event, self.due, self.at)
            case FailedIteration():
                journal.write(self.event, self.at)
            case _:
                journal.complete(self.event, self.at)


async def fire(
    settings: Settings, run: RunFolder, url: str, journal: Journal, stop: Stop, say: Callable[[str], None]
) -> Outcome:
    """Let virtual users run a session against *url*, in a process under the engine.

    Raises:
        EngineFault: that process crashed, or ended before the session did.
    """
    retrace.empty_recording(run.client)
    origin = settings.scenario.origin
    file = str(origin.file) if origin else ""
    played = origin is not None and origin.option == "--from"
    named = ":".join(filter(None, (file, origin.name))) if origin else settings.scenario.name
    session = {
        "url": url,
        "scenario": None if played else named,
        "from": file if played else None,
        "concurrency": settings.concurrency,
        "iterations": settings.iterations,
        "seed": settings.seed,
        "timeout": settings.timeout,
        "shape": asdict(settings.shape),
    }

    def command(lifeline: Sequence[str]) -> list[str]:
        target = ("-m", MODULE, json.dumps(session))
        options = (*lifeline, "--application", str(origin.file.parent) if origin else "")
        return retrace.record_command(run.client.resolve(), target, options, stacks=settings.stacks)

    log = run.path / "client.log"
    async with traced(command, retrace.environment({}), log) as process:
        story = Story(process, say)
        async with anyio.create_task_group() as group:

            async def release() -> None:
                while not stop.requested:  # noqa: ASYNC110 - set by whoever stops the run
                    await anyio.sleep(LOOK_EVERY)
                await process.release_input()

            group.start_soon(release)
            async for one in story:
                one.write_to(journal)
            group.cancel_scope.cancel()
        how = await process.obituary(END_LIMIT)  # its recording is whole once it has ended
    if story.outcome is None or not process.ended_well:
        raise EngineFault(f"the traced client did not end well: {how or 'it hangs'}", advice=f"See {log}.")
    return story.outcome


class Story:
    """What a traced client tells, event by event, each with its time; see :mod:`loadgen.cli.apart`."""

    def __init__(self, process: Traced, say: Callable[[str], None] = lambda _: None) -> None:
        self._process = process
        self._say = say
        self._bodies: dict[str, bytes] = {}
        self.outcome: Outcome | None = None
        """Once it has come to its end."""
        self.left: Departure | None = None
        """How a replay left the tape."""

    async def __aiter__(self) -> AsyncIterator[Lived]:
        async for line in self._process.lines():
            told: dict[str, Any] = json.loads(line)
            match told["event"]:
                case "body":
                    self._bodies[told["sha256"]] = base64.b64decode(told["base64"])
                case "say":
                    self._say(told["line"])
                case "outcome":
                    del told["event"]
                    self.outcome = Outcome(**told)
                case "left":
                    self.left = Departure.from_json(told)
                case _:
                    event = decode(told, self._bodies.pop)
                    assert isinstance(event, Event)
                    yield Lived(event, told["at"], told.get("due"))


class WithoutServer:
    """The load generator replayed: nothing is sent and nothing listens."""

    name = "client"
    where = "local"
    terms = CLIENT

    def recording(self, run: RunFolder) -> Path:
        """Return the client's tape."""
        return run.client

    async def replay(self, case: Case, events: Reader, journal: Journal) -> None:
        """Replay the client, and hold each event that it lives to the recorded one at its place."""
        log = case.folder / "client.log"

        def command(lifeline: Sequence[str]) -> list[str]:
            return retrace.replay_command(case.run.client.resolve(), lifeline)

        start = retrace.recorded_start(case.run.client)
        async with traced(command, start.environment, log, start.cwd) as process:
            with Timed(case, journal):
                await _Lockstep(case, process).run(events, journal)
            await process.obituary()  # it is about to end


class _Lockstep:
    """Takes one event of the replay for each that was recorded."""

    def __init__(self, case: Case, process: Traced) -> None:
        self._case = case
        self._process = process
        self._story = Story(process)
        self._open: dict[int, tuple[Request, tuple[Difference, ...]]] = {}
        self._latest: tuple[Request, tuple[Difference, ...]] | None = None
        self._events = 0

    async def run(self, events: Reader, journal: Journal) -> None:
        """Compare, until there is nothing left to compare.

        Raises:
            EngineFault: the replay crashed, is stuck, or ended too early.
        """
        recorded = seen(self._case, events, journal)
        await self._walk(events, recorded, journal)
        for _ in recorded:  # what cannot be compared any more still says whether the transcript is whole
            pass

    async def _walk(self, events: Reader, everything: Iterator[Recorded], journal: Journal) -> None:
        judge, replayed = self._case.judge, aiter(self._story)
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
                return  # what follows is not comparable, event by event
            self._compare(recorded, now.event, (events.at, now.at))
        if not events.ended:
            return  # what was cut short cannot tell what is too much
        if more := await self._next(replayed):
            judge.event(0, "(nothing)", _told(more.event))
        elif self._story.outcome is None:
            raise await self._died()
        journal.end([], self._case.requests)
        self._case.client_order_same = not more

    async def _next(self, replayed: AsyncIterator[Lived]) -> Lived | None:
        with anyio.move_on_after(self._case.timeout):
            return await anext(replayed, None)
        if how := await self._process.obituary():
            raise EngineFault(f"the replayed client died: {how}", advice=f"See {self._process.log}.")
        raise EngineFault(
            f"the replay is stuck: after {self._events} events, the next did not come in "
            f"{self._case.timeout:g} s",
            advice=f"See {self._process.log}.",
        )

    async def _ended(self, recorded: Event) -> None:
        """Tell why there is no event where *recorded* was."""
        if self._story.left is None:
            raise await self._died()
        left = self._story.left
        if left.code == protocol.RECORDING_ENDS:
            raise RecordingFault(
                f"the client's recording ends after {self._events} events",
                advice="Was the disk full, or a limit on file sizes in force? Record again.",
                code=protocol.RECORDING_INCOMPLETE,
            )
        outcome = Difference("outcome", _told(recorded), f"left the tape: {left.why}")
        self._case.judge.note(self._request(recorded), (outcome,), left)

    def _request(self, event: Event) -> Request:
        """Return the request that *event* is one of, or the latest one."""
        if isinstance(event, Request):
            return event
        asked = self._open.get(event.seq) or self._latest
        assert asked is not None
        return asked[0]

    async def _died(self) -> LoadgenError:
        how = await self._process.obituary(END_LIMIT) or "it told nothing more"
        what = f"the replayed client ended after {self._events} events: {how}"
        if edited := changed(self._case.manifest.client_sources):
            return RecordingFault(
                f"the recording is of another {', '.join(edited)}, which was changed; {what}",
                advice="If the change is wanted, record again.",
            )
        return EngineFault(what, advice=f"See {self._process.log}.")

    def _compare(self, recorded: Event, replayed: Event, at: tuple[float | None, float]) -> None:
        if isinstance(recorded, FailedIteration) or isinstance(replayed, FailedIteration):
            return  # compared in all it says
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
        both = compare(recorded, replayed, self._case.judge.rules)
        if isinstance(recorded, Failure) and isinstance(replayed, Failure) and recorded != replayed:
            told = [f"{one.kind} {one.message}" for one in (recorded, replayed)]
            both = (Difference("outcome", *told),)
        self._case.judge.note(request, (*differences, *both, *late))


def _told(event: Event) -> str:
    """Tell an event's place in the story: which one it is, and not what it brought."""
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
