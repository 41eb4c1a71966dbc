"""The traced client: a load generator under the engine, recorded beside its server, replayed without any.

Its replay is one process that opens no socket: what it sends goes nowhere, and what it hears, and when, comes
from its tape. It must live the same events, in the same order, at the same times of the recorded clock.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import anyio

from loadgen.client.session import Outcome
from loadgen.core.comparison import Difference, compare
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import decode
from loadgen.core.verdict import CLIENT, RECORDING_ENDS
from loadgen.engine import retrace
from loadgen.engine.process import END_LIMIT, Traced, traced
from loadgen.errors import EngineFault, RecordingFault
from loadgen.verify import Timed, seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from loadgen.client.journal import Journal
    from loadgen.client.session import Stop
    from loadgen.core.transcript import Event, Reader
    from loadgen.run_folder import Manifest, RunFolder
    from loadgen.verify import Case

MODULE = "loadgen.client.apart"
LOOK_EVERY = 0.1
"""Seconds between two looks at whether to stop."""

Lived = Request | Response | Failure


async def fire(
    run: RunFolder, manifest: Manifest, url: str, journal: Journal, stop: Stop, say: Callable[[str], None]
) -> Outcome:
    """Let virtual users run the session of *manifest* against *url*, in a process under the engine.

    Raises:
        EngineFault: that process crashed, or ended before the session did.
    """
    os.close(os.open(run.client, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    session = {
        "url": url,
        "scenario": manifest.scenario,
        "concurrency": manifest.concurrency,
        "iterations": manifest.iterations,
        "seed": manifest.seed,
        "timeout": manifest.timeout,
    }

    def command(lifeline: Sequence[str]) -> list[str]:
        target = ("-m", MODULE, json.dumps(session))
        return retrace.record_command(run.client.resolve(), target, lifeline, stacks=manifest.stacks)

    log = run.path / "client.log"
    async with traced(command, retrace.environment({}, ""), log) as process:
        story = Story(process, say)
        async with anyio.create_task_group() as group:

            async def release() -> None:
                while not stop.requested:  # noqa: ASYNC110 - set by whoever stops the run
                    await anyio.sleep(LOOK_EVERY)
                await process.release_input()

            group.start_soon(release)
            async for event, at in story:
                _write(journal, event, at)
            group.cancel_scope.cancel()
        how = await process.obituary(END_LIMIT)  # its recording is whole once it has ended
    if story.outcome is None or not process.ended_well:
        raise EngineFault(f"the traced client did not end well: {how or 'it hangs'}", advice=f"See {log}.")
    return story.outcome


class Story:
    """What a traced client tells, event by event, each with its time; see :mod:`loadgen.client.apart`."""

    def __init__(self, process: Traced, say: Callable[[str], None] = lambda _: None) -> None:
        self._process = process
        self._say = say
        self._bodies: dict[str, bytes] = {}
        self.outcome: Outcome | None = None
        """Once it has come to its end."""
        self.left: tuple[str, tuple[str, ...]] | None = None
        """Why a replay left the tape, and the calls that did, innermost first."""

    async def __aiter__(self) -> AsyncIterator[tuple[Lived, float]]:
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
                    self.left = told["why"], tuple(told["stack"])
                case _:
                    event = decode(told, self._bodies.pop)
                    assert isinstance(event, Lived)
                    yield event, told["at"]


def _write(journal: Journal, event: Lived, at: float) -> None:
    if isinstance(event, Request):
        journal.resume(event, at)
    else:
        journal.complete(event, at)


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

        async with traced(command, retrace.environment({}, ""), log) as process:
            with Timed(case, journal):
                await _Lockstep(case, process).run(events, journal)


class _Lockstep:
    """Takes one event of the replay for each that was recorded."""

    def __init__(self, case: Case, process: Traced) -> None:
        self._case = case
        self._process = process
        self._story = Story(process)
        self._open: dict[int, tuple[Request, tuple[Difference, ...]]] = {}
        self._steps: list[int] = []

    async def run(self, events: Reader, journal: Journal) -> None:
        """Compare, until there is nothing left to compare.

        Raises:
            EngineFault: the replay crashed, is stuck, or ended too early.
        """
        recorded = seen(self._case, events, journal)
        await self._walk(events, recorded, journal)
        for _ in recorded:  # what cannot be compared any more still says whether the transcript is whole
            pass

    async def _walk(self, events: Reader, everything: Iterator[Event], journal: Journal) -> None:
        judge, replayed = self._case.judge, aiter(self._story)
        for recorded in everything:
            if not isinstance(recorded, Lived):
                continue
            now = await self._next(replayed)
            if now is None:
                await self._ended(recorded)
                return
            event, at = now
            _write(journal, event, at)
            self._steps.append(_step(event))
            judge.order_piece((_step(recorded),), self._steps)
            if _step(recorded) != _step(event):
                return  # what follows is not comparable, event by event
            self._compare(recorded, event, (events.at, at))
        if not events.ended:
            return  # what was cut short cannot tell what is too much
        if more := await self._next(replayed):
            self._steps.append(_step(more[0]))
        elif self._story.outcome is None:
            raise await self._died()
        judge.order_end(self._steps)
        journal.end([], self._case.requests)
        self._case.client_order_same = not more

    async def _next(self, replayed: AsyncIterator[tuple[Lived, float]]) -> tuple[Lived, float] | None:
        with anyio.move_on_after(self._case.timeout):
            return await anext(replayed, None)
        if how := await self._process.obituary():
            raise EngineFault(f"the replayed client died: {how}", advice=f"See {self._process.log}.")
        raise EngineFault(
            f"the replay is stuck: after {len(self._steps)} events, the next did not come in "
            f"{self._case.timeout:g} s",
            advice=f"See {self._process.log}.",
        )

    async def _ended(self, recorded: Lived) -> None:
        """Tell why there is no event where *recorded* was."""
        if self._story.left is None:
            raise await self._died()
        why, stack = self._story.left
        if why.startswith(RECORDING_ENDS):
            raise RecordingFault(
                f"the client's recording ends after {len(self._steps)} events",
                advice="Was the disk full, or a limit on file sizes in force? Record again.",
            )
        request = recorded if isinstance(recorded, Request) else self._open[recorded.seq][0]
        what = "is sent" if isinstance(recorded, Request) else "ends"
        left = Difference("outcome", f"the request {what}", f"left the tape: {why}")
        self._case.judge.note(request, (left,), why, stack)

    async def _died(self) -> EngineFault:
        how = await self._process.obituary(END_LIMIT) or "it told nothing more"
        what = f"the replayed client ended after {len(self._steps)} events: {how}"
        return EngineFault(what, advice=f"See {self._process.log}.")

    def _compare(self, recorded: Lived, replayed: Lived, at: tuple[float | None, float]) -> None:
        late: tuple[Difference, ...] = ()
        if at[0] != at[1]:
            when = "sent at" if isinstance(recorded, Request) else "ended at"
            late = (Difference(when, f"{at[0]} s", f"{at[1]} s"),)
        if isinstance(recorded, Request):
            assert isinstance(replayed, Request)
            self._open[recorded.seq] = recorded, (*late, *_asked(recorded, replayed))
            return
        assert not isinstance(replayed, Request)
        request, differences = self._open.pop(recorded.seq)
        both = compare(recorded, replayed, self._case.judge.rules)
        if isinstance(recorded, Failure) and isinstance(replayed, Failure) and recorded != replayed:
            told = [f"{one.kind} {one.message}" for one in (recorded, replayed)]
            both = (Difference("outcome", *told),)
        self._case.judge.note(request, (*differences, *both, *late))


def _step(event: Lived) -> int:
    return event.seq if isinstance(event, Request) else -event.seq


def _asked(recorded: Request, replayed: Request) -> tuple[Difference, ...]:
    return tuple(
        Difference(f"request {name}", repr(before)[:200], repr(after)[:200])
        for name in ("user", "method", "target", "headers", "body")
        if (before := getattr(recorded, name)) != (after := getattr(replayed, name))
    )
