"""The client mode for a program of the user's own: a script under the engine, recorded through the gateway.

The gateway numbers and journals its requests, as for any client. The replay is that program alone, without a
server and without the gateway: nothing connects, everything that it receives comes from its tape, and a tap
reports what it would send. It must send the same requests, get the same answers, print the same output, and
exit with the same code. The order of requests on different connections, which its threads decide, is not
compared.
"""

from __future__ import annotations

import base64
import json
import shlex
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from loadgen import protocol
from loadgen.client.gateway.command import URL as PLACEHOLDER
from loadgen.client.gateway.command import VARIABLE, program
from loadgen.client.http_bytes import SendingConnection
from loadgen.client.senders import Sending, Visitors
from loadgen.core.comparison import BOUNDARY_HEADERS, REQUEST_FIELD, Difference, compare
from loadgen.core.departure import Departure
from loadgen.core.events import Story
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.spec import CommandTraffic
from loadgen.engine import interpreter, retrace
from loadgen.engine.target import resolve
from loadgen.engine.traced_process import END_LIMIT, TracedProcess, traced
from loadgen.errors import EngineFault, RecordingFault, UsageError
from loadgen.store.code_digests import changed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.client.http_bytes import SentRequest
    from loadgen.core.events import Emit, SessionEnd, Visit
    from loadgen.core.exchange import Headers, Outcome
    from loadgen.core.spec import RunSpec
    from loadgen.core.stop import Stop
    from loadgen.core.transcript import Reader
    from loadgen.engine.target import Target
    from loadgen.modes.base import Session
    from loadgen.modes.replaying import Replaying
    from loadgen.store.journal import Journal

PRINTED = 200
"""Characters of a line of output that a difference shows."""


def script_of(spec: RunSpec) -> Path | None:
    """Return the script that is the traced client of *spec*; None if there is none.

    Raises:
        UsageError: the client is not a Python program.
    """
    target = _target(spec, "")[1]
    return Path(target.argv[0]) if target.argv[0].endswith(".py") else None


def _target(spec: RunSpec, url: str) -> tuple[list[str], Target]:
    assert isinstance(spec.traffic, CommandTraffic)
    variables, words = program(spec.traffic.client.replace(PLACEHOLDER, url))
    try:
        return variables, resolve(words, python=spec.python)
    except UsageError as error:
        raise UsageError(
            f"the client {shlex.join(words)} cannot be traced: {error.message}",
            advice="Give a Python program: --client 'python client.py'. "
            "Without --trace client, any client can be recorded.",
        ) from error


def _options(folder: str) -> list[str]:
    """Return the launcher's options, the same for record and replay."""
    return ["--tap", "--application", folder]


async def fire(session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
    """Run the program under the engine, with its requests going through the gateway to *url*.

    Raises:
        EngineFault: the engine did not finish its recording.
    """
    assert isinstance(session.scenario, Visitors)
    run = session.run
    retrace.empty_recording(run.client)

    @asynccontextmanager
    async def running(gateway: str) -> AsyncIterator[TracedProcess]:
        variables, target = _target(session.spec, gateway)
        traced_too = _options(target.folder)
        given = retrace.chosen([*variables, f"{VARIABLE}={gateway}"])

        def command(options: Sequence[str]) -> list[str]:
            return retrace.record_command(
                run.client.resolve(),
                target.argv,
                [*options, *traced_too, "--import-from", target.import_from],
                stacks=session.spec.stacks,
                server=target.python,
            )

        environment = retrace.program_environment(given)
        async with traced(command, environment, run.client_log, target.cwd) as process:
            try:
                yield process
            finally:
                with anyio.CancelScope(shield=True):
                    if (
                        process.code is None
                    ):  # it was interrupted: its recording is complete when it has exited
                        process.interrupt()
                        await process.exit_report(END_LIMIT)

    def say(line: str) -> None:
        emit(Story(line=line))

    end = await session.scenario.send(Sending(session.spec, run.path, url, journal, stop, say, running))
    assert end.visit is not None
    if (code := end.visit.exit_code) is not None and code < 0:
        raise EngineFault(f"the traced client was killed by signal {-code}", advice=f"See {run.client_log}.")
    return end


async def replay(replaying: Replaying, events: Reader, journal: Journal) -> None:
    """Replay the program, and compare what it does with the transcript."""
    run, log = replaying.run, replaying.folder / "client.log"

    def command(options: Sequence[str]) -> list[str]:
        python = interpreter.at(replaying.moved.python)
        script = script_of(replaying.manifest.spec)
        more = _options(str(script.parent) if script else "")
        return retrace.replay_command(run.client.resolve(), [*options, *more], server=python)

    start = retrace.recorded_start(run.client)
    async with traced(command, start.environment, log, start.cwd) as process, replaying.timed(journal):
        await _Comparing(replaying, process).run(events, journal)


class _Comparing:
    """Compares the requests of a replayed program with the recorded ones, as they are sent."""

    def __init__(self, replaying: Replaying, process: TracedProcess) -> None:
        self._replaying = replaying
        self._process = process
        self._lines = process.lines()
        self._connections: dict[bytes, SendingConnection] = {}
        self._sent: list[SentRequest] = []
        """Requests of the replay that are not yet compared, in their order."""
        self._latest: dict[int, int] = {}
        """Of each connection, the place of the request that was compared last."""
        self._hosts = set[str]()
        self._in_order = True
        self._left: Departure | None = None
        """Where the replay left the tape."""
        self._last: Request | None = None

    async def run(self, events: Reader, journal: Journal) -> None:
        """Compare until both have ended.

        Raises:
            EngineFault: the replay hangs, or did not end as the recorded program did.
        """
        missing = [request async for request in self._missing(events, journal)]
        while await self._hear():
            pass
        self._replaying.client_order_same = self._in_order and not missing
        if self._left is not None:
            where = missing[0] if missing else self._last
            assert where is not None  # a run without requests is not complete
            self._replaying.judge.note(where, self._left_tape(), self._left)
            return
        await self._end()
        left = [one for one in self._sent if _host(one.headers) in self._hosts]
        for request in missing:
            self._replaying.judge.note(request, _instead(request, left.pop(0) if left else None))
        visit = self._visit
        if more := left[sum(visit.refused.values()) if visit else 0 :]:
            told = f"{more[0].method} {more[0].target} is sent, too"
            self._replaying.judge.event(0, "(nothing)", told)
        self._compare_output()
        if events.ended:
            journal.end([], self._replaying.requests)
        self._replaying.client_order_same = self._in_order and not missing and not more

    async def _missing(self, events: Reader, journal: Journal) -> AsyncIterator[Request]:
        """Compare what both send; yield the recorded requests that the replay does not send."""
        asked: dict[int, Request] = {}
        for event in self._replaying.seen(events, journal):
            match event:
                case Request():
                    asked[event.seq] = self._last = event
                    self._hosts.add(_host(event.headers))
                case Response() | Failure():
                    request = asked.pop(event.seq)
                    if not await self._same(request, event, journal):
                        yield request
        for request in asked.values():  # the program did not wait for its answer
            if not await self._same(request, None, journal):
                yield request

    @property
    def _visit(self) -> Visit | None:
        totals = self._replaying.manifest.result.totals
        return None if totals is None else totals.visit

    async def _same(self, request: Request, recorded: Outcome | None, journal: Journal) -> bool:
        """Wait for a request that equals *request*, and compare its answer; False: it is not sent."""
        while (sent := next((one for one in self._sent if _equal(request, one)), None)) is None:
            if not await self._hear():
                return False
        while recorded is not None and sent.answer is None and await self._hear():
            pass
        self._sent.remove(sent)
        judge = self._replaying.judge
        before = self._latest.get(sent.connection, -1)
        self._latest[sent.connection] = sent.index
        late = "" if sent.index > before else ", after later ones"
        self._in_order = self._in_order and not late
        judge.event(request.seq, f"request {request.seq} is sent", f"request {request.seq} is sent{late}")
        judge.event(request.seq, f"request {request.seq} ends", f"request {request.seq} ends")
        journal.resume(request)
        differences: tuple[Difference, ...] = ()
        if isinstance(sent.answer, Response) and isinstance(recorded, Response):
            answer = replace(sent.answer, seq=request.seq)
            journal.complete(answer)
            differences = compare(_as_the_client_got_it(recorded), answer, judge.rules)
        elif recorded is not None:  # the client did not read it to its end
            journal.complete(recorded)
        judge.note(request, differences)
        return True

    async def _hear(self) -> bool:
        """Handle the next event of the tap; False after the last one."""
        with anyio.move_on_after(self._replaying.timeout):
            line = await anext(self._lines, None)
            if line is None:
                return False
            what, number, *data = line.split(b" ")
            if what == b"left":
                told = json.loads(base64.b64decode(data[0]))
                self._left = self._left or Departure(told["code"], told["why"], tuple(told["stack"]))
                return True
            connection = self._connections.setdefault(number, SendingConnection(int(number)))
            match what:
                case b">":
                    self._sent += connection.sent(base64.b64decode(data[0]))
                case b"<":
                    connection.received(base64.b64decode(data[0]))
                case b".":
                    connection.received(b"")
                    del self._connections[number]
            return True
        raise EngineFault(
            f"the replay hangs: nothing happened for {self._replaying.timeout:g} s",
            advice=f"See {self._process.log}.",
        )

    def _left_tape(self) -> tuple[Difference, ...]:
        """Return the difference where the replay left the tape.

        Raises:
            RecordingFault: the tape ends there.
        """
        assert self._left is not None
        if self._left.code in {protocol.RECORDING_ENDS, protocol.RECORDING_UNREADABLE}:
            raise RecordingFault(
                f"the client's recording ends early: {self._left.why}",
                advice="Check free disk space and limits on file sizes, and record again.",
                code=protocol.RECORDING_INCOMPLETE,
            )
        return (Difference("outcome", "is sent", f"left the tape: {self._left.why}"),)

    async def _end(self) -> None:
        """Wait for the end of the replay.

        Raises:
            EngineFault: it did not end as the recorded program did.
            RecordingFault: the same, and the program has changed.
        """
        how, visit = await self._process.exit_report(END_LIMIT), self._visit
        if visit is None or visit.exit_code in {None, self._process.code}:
            return
        what = f"the replayed client did not end with exit code {visit.exit_code}: {how or 'it hangs'}"
        manifest = self._replaying.manifest
        if not manifest.image and (edited := changed({**manifest.sources, **manifest.client_sources})):
            raise RecordingFault(
                f"{', '.join(edited[:3])} changed after the recording; {what}",
                advice="If the change is wanted, record again.",
            )
        raise EngineFault(what, advice=f"See {self._process.log}.")

    def _compare_output(self) -> None:
        visit = self._visit
        if visit is None or visit.exit_code is None:  # it was interrupted, somewhere
            return
        recorded, replayed = (
            path.read_bytes().splitlines() for path in (self._replaying.run.client_log, self._process.log)
        )
        for before, after in zip_longest(recorded, replayed):
            if before != after:
                self._replaying.judge.event(0, _printed(before), _printed(after))
                return


def _printed(line: bytes | None) -> str:
    return "(no output)" if line is None else f"prints {line.decode(errors='replace')[:PRINTED]!r}"


def _host(headers: Headers) -> str:
    return next((value for name, value in headers if name.lower() == "host"), "")


def _equal(request: Request, sent: SentRequest) -> bool:
    return not _instead(request, sent)


def _instead(request: Request, sent: SentRequest | None) -> tuple[Difference, ...]:
    """Return what differs between a recorded request and the one that is sent in its place."""
    if sent is None:
        return (Difference("outcome", "is sent", "is not sent"),)
    # What is sent has been read without the blanks behind values.
    headers = tuple((name, value.rstrip(" \t")) for name, value in request.headers)
    request = replace(request, headers=headers)
    return tuple(
        Difference(f"{REQUEST_FIELD}{name}", repr(before)[:PRINTED], repr(after)[:PRINTED])
        for name in ("method", "target", "headers", "body")
        if (before := getattr(request, name)) != (after := getattr(sent, name))
    )


def _as_the_client_got_it(answer: Response) -> Response:
    """Return *answer* without the headers that are for loadgen only."""
    headers = tuple(one for one in answer.headers if one[0].lower() not in BOUNDARY_HEADERS)
    return replace(answer, headers=headers)
