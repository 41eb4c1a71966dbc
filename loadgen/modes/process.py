"""The traced process: a server whose sockets, threads and scheduling are on its tape, replayed alone.

Nothing listens in the replay: its requests come from the tape, and what it would send is heard at a tap and
held to the transcript, answer by answer. All of an answer is compared, as even ``Date`` comes from the tape.
The order in which threads send on different connections is not: the tap hears them as they happen to run.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import anyio

from loadgen.client.http_bytes import Connection
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import PROCESS
from loadgen.engine import retrace
from loadgen.engine.process import END_LIMIT, Traced, traced
from loadgen.errors import EngineFault, LoadgenError, ServerFault
from loadgen.store.code_digests import changed
from loadgen.verify import Timed, seen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.core.exchange import Outcome
    from loadgen.core.transcript import Reader
    from loadgen.store.journal import Journal
    from loadgen.store.run_folder import RunFolder
    from loadgen.verify import Case


class WholeProcess:
    """The whole server replayed, by the engine alone."""

    name = "process"
    where = "local"
    terms = PROCESS

    def recording(self, run: RunFolder) -> Path:
        """Return the server's tape."""
        return run.recording

    async def replay(self, case: Case, events: Reader, journal: Journal) -> None:
        """Replay the server, and hold what it would send to what was recorded."""

        def command(options: Sequence[str]) -> list[str]:
            return retrace.replay_command(case.run.recording.resolve(), options, launcher=retrace.WHOLE)

        start = retrace.recorded_start(case.run.recording)
        async with traced(command, start.environment, case.log, case.manifest.cwd) as process:
            answers = _Answers(process, case.timeout)
            with Timed(case, journal):
                missing: list[Request] = []
                asked: dict[int, Request] = {}
                for event in seen(case, events, journal):
                    match event:
                        case Request():
                            asked[event.seq] = event
                            journal.resume(event)
                        case Response() | Failure():
                            request = asked.pop(event.seq)
                            answer = await answers.to(request)
                            if answer is None:
                                missing.append(request)
                                continue
                            journal.complete(answer)
                            case.judge.pair(request, event, answer)
                await answers.drain()
            if fault := await _fault(process, answers, missing, case):
                raise fault
            if events.ended:
                journal.end([], case.requests)


class _Answers:
    """What a replay would send, as its tap tells it."""

    def __init__(self, process: Traced, timeout: float) -> None:
        self._lines = process.lines()
        self._timeout = timeout
        self._connections: dict[bytes, Connection] = {}
        self._early: dict[int, Outcome] = {}
        self._given: set[int] = set()
        self.stuck = False
        """Whether it told nothing more for too long."""
        self.doubled: list[int] = []
        """Requests that it answered more than once."""

    @property
    def unasked(self) -> list[int]:
        """Numbers of requests that it answered, and that were never recorded."""
        return sorted(self._early)

    async def to(self, request: Request) -> Outcome | None:
        """Wait for the answer to *request*; none if it does not come."""
        while request.seq not in self._early and await self._hear():
            pass
        return self._early.pop(request.seq, None)

    async def drain(self) -> None:
        """Hear it to its end."""
        while await self._hear():
            pass

    async def _hear(self) -> bool:
        if self.stuck:
            return False
        with anyio.move_on_after(self._timeout):
            line = await anext(self._lines, None)
            if line is None:
                return False
            for outcome in self._answers(line):
                if outcome.seq in self._given:
                    self.doubled.append(outcome.seq)
                self._given.add(outcome.seq)
                self._early[outcome.seq] = outcome
            return True
        self.stuck = True
        return False

    def _answers(self, line: bytes) -> list[Outcome]:
        what, number, *data = line.split(b" ")
        connection = self._connections.setdefault(number, Connection())
        match what:
            case b"<":
                connection.received(base64.b64decode(data[0]))
            case b">":
                return list(connection.sent(base64.b64decode(data[0])))
            case b".":
                del self._connections[number]
                return list(connection.ended())
        return []


async def _fault(
    process: Traced, answers: _Answers, missing: Sequence[Request], case: Case
) -> LoadgenError | None:
    """Say what is wrong with how the replay ended, or with what it did not answer."""
    how = None if answers.stuck else await process.obituary(END_LIMIT)
    wrong = []
    if answers.stuck or how is None:
        wrong.append(f"the replay is stuck: it did nothing for {case.timeout:g} s, and did not end")
    elif not process.ended_well:
        wrong.append(f"the replay did not end well: {how}")
    if missing:
        wrong.append(f"it gave no answer to {len(missing)} requests; the first: {missing[0]}")
    if answers.unasked or answers.doubled:
        wrong.append(
            f"it answered requests that were not sent, or twice: {answers.unasked + answers.doubled}"
        )
    if not wrong:
        return None
    if edited := changed(case.manifest.sources):
        return ServerFault(
            f"the server's code is not what was recorded ({', '.join(edited[:3])} changed), and:\n"
            + "\n".join(wrong),
            advice=f"If the change is wanted, record again. See {case.log}.",
        )
    return EngineFault(
        "\n".join(wrong), advice=f"The engine replays its own recording here, alone: see {case.log}."
    )
