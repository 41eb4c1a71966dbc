"""The process mode: a server whose sockets, threads and scheduling are on its tape, replayed alone.

While recording, the server opens its own sockets (:mod:`loadgen.modes.listening`). There is no boundary, so
the order in which requests entered the application is unknown.

Nothing listens in the replay: its requests come from the tape, and a tap reports what it would send. Each
answer is compared completely with the transcript, because even ``Date`` comes from the tape. The order in
which threads send on different connections is not compared.
"""

from __future__ import annotations

import base64
import signal
from typing import TYPE_CHECKING

import anyio

from loadgen.client.http_bytes import TappedConnection
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import PROCESS
from loadgen.core.spec import BUNDLED, ModeName
from loadgen.engine import interpreter, retrace
from loadgen.engine.traced_process import END_LIMIT, TracedProcess, traced
from loadgen.errors import EngineFault, LoadgenError, ServerFault
from loadgen.store.code_digests import changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.exchange import Outcome
    from loadgen.core.stop import Stop
    from loadgen.core.transcript import Reader
    from loadgen.modes.base import Host, RecordedServer, Session
    from loadgen.modes.replaying import Replaying
    from loadgen.store.journal import Journal
    from loadgen.store.run_folder import RunFolder


class ProcessMode:
    """See :class:`loadgen.modes.base.Mode`; its replay runs on this machine, wherever it was recorded."""

    name = ModeName.PROCESS
    terms = PROCESS

    def __init__(self, host: Host) -> None:
        self._host = host

    def tape(self, run: RunFolder) -> Path:
        """Return the server's recording."""
        return run.recording

    def record(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the server under the recording engine."""
        return self._host.listening(session)

    async def fire(self, session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
        """Run the virtual users in this process."""
        from loadgen.modes.firing import fire_here  # noqa: PLC0415 - a replay does without

        return await fire_here(session, url, journal, stop, emit)

    async def replay(self, replaying: Replaying, events: Reader, journal: Journal) -> None:
        """Replay the server, and compare the answers that it would send with the recorded ones."""
        started = replaying.manifest.result.started

        bind = ("--bind", started.bind) if started.bind else ()

        def command(options: Sequence[str]) -> list[str]:
            return retrace.replay_command(
                replaying.run.recording.resolve(),
                [*options, *bind],
                launcher=retrace.PROCESS,
                server=interpreter.at(replaying.moved.python),
                demo=BUNDLED in started.argv,
            )

        start = retrace.recorded_start(replaying.run.recording)
        async with traced(command, start.environment, replaying.log, started.cwd) as process:
            answers = _Answers(process, replaying.timeout)
            async with replaying.timed(journal):
                missing: list[Request] = []
                given_up: list[tuple[Request, Failure]] = []
                asked: dict[int, Request] = {}
                for event in replaying.seen(events, journal):
                    match event:
                        case Request():
                            asked[event.seq] = event
                            journal.resume(event)
                        case Failure():  # its client waited no longer, and the server may not have ended it
                            given_up.append((asked.pop(event.seq), event))
                        case Response():
                            request = asked.pop(event.seq)
                            answer = await answers.to(request)
                            if answer is None:
                                missing.append(request)
                                continue
                            journal.complete(answer)
                            replaying.judge.pair(request, event, answer)
                await answers.drain()
                late = answers.late({request.seq for request, _ in given_up})
                for request, failed in given_up:
                    outcome = late[request.seq]
                    journal.complete(outcome)
                    replaying.judge.pair(request, failed, outcome)
            if fault := await _fault(process, answers, missing, replaying):
                raise fault
            if events.ended:
                journal.end([], replaying.requests)


class _Answers:
    """The answers that a replay would send, as reported by its tap."""

    def __init__(self, process: TracedProcess, timeout: float) -> None:
        self._lines = process.lines()
        self._timeout = timeout
        self._connections: dict[bytes, TappedConnection] = {}
        self._early: dict[int, Outcome] = {}
        self._given: set[int] = set()
        self.stuck = False
        """Whether it reported nothing for too long."""
        self.doubled: list[int] = []
        """Requests that were answered more than once."""

    @property
    def unasked(self) -> list[int]:
        """Numbers of answered requests that were never recorded."""
        return sorted(self._early)

    async def to(self, request: Request) -> Outcome | None:
        """Wait for the answer to *request*; None if it does not arrive."""
        while request.seq not in self._early and await self._hear():
            pass
        return self._early.pop(request.seq, None)

    def late(self, given_up: set[int]) -> dict[int, Outcome]:
        """Return what there is of the answers to requests that their clients gave up, by their numbers."""
        why = "the replay ended before its answer did"
        found: dict[int, Outcome] = {seq: Failure(seq, "RemoteProtocolError", why) for seq in given_up}
        unended = [outcome for connection in self._connections.values() for outcome in connection.ended()]
        found.update({outcome.seq: outcome for outcome in unended if outcome.seq in given_up})
        found.update({seq: self._early.pop(seq) for seq in given_up & self._early.keys()})
        return found

    async def drain(self) -> None:
        """Read the tap to its end."""
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
        connection = self._connections.setdefault(number, TappedConnection())
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
    process: TracedProcess, answers: _Answers, missing: Sequence[Request], replaying: Replaying
) -> LoadgenError | None:
    """Return what is wrong with the end of the replay, or with its missing answers."""
    how = None if answers.stuck else await process.exit_report(END_LIMIT)
    wrong = []
    if answers.stuck or how is None:
        wrong.append(f"the replay hangs: nothing happened for {replaying.timeout:g} s")
    elif (
        not process.ended_well and process.code != -signal.SIGINT
    ):  # the recorded server exited by this signal too
        wrong.append(f"the replay did not end well: {how}")
    if missing:
        wrong.append(f"it did not answer {len(missing)} of the requests, the first of them {missing[0]}")
    if answers.unasked or answers.doubled:
        wrong.append(
            f"it answered requests that were not sent, or twice: {answers.unasked + answers.doubled}"
        )
    if not wrong:
        return None
    if not replaying.manifest.image and (edited := changed(replaying.manifest.sources)):
        return ServerFault(
            f"the server's code changed after the recording ({', '.join(edited[:3])}), and:\n"
            + "\n".join(wrong),
            advice=f"If the change is wanted, record again. See {replaying.log}.",
        )
    return EngineFault(
        "\n".join(wrong), advice=f"The engine alone replays its own recording here: see {replaying.log}."
    )
