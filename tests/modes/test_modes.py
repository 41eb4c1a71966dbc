"""Replays of a whole process and of a client, with the output of their processes set by the test."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.events import Entry, EntryBody, LeftTape, SessionEnd, ignore, to_line
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.spec import CommandTraffic, ModeName, RunSpec, VerifySpec
from loadgen.core.transcript import Event, FailedIteration, Run
from loadgen.core.verdict import Judgement, Verdict
from loadgen.engine import retrace
from loadgen.errors import TranscriptFault, UsageError
from loadgen.modes import client
from loadgen.modes import process as process_mode
from loadgen.modes.client import ClientMode
from loadgen.modes.listening import told_address
from loadgen.modes.local import LocalHost
from loadgen.modes.process import ProcessMode
from loadgen.modes.program import script_of
from loadgen.store.journal import Journal
from loadgen.store.manifest import Manifest, Result, Started, State
from loadgen.store.run_folder import RunFolder
from loadgen.verify import replay_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from loadgen.modes.base import Mode

CLIENT = ClientMode(LocalHost())
PROCESS = ProcessMode(LocalHost())
LARGE = b"x" * 100_000
STORY: tuple[tuple[Event, float], ...] = (
    (Request(1, 0, "GET", "/a", ()), 0.1),
    (Request(2, 1, "POST", "/b", (("A", "1"),), b"body"), 0.2),
    (Response(2, 200, (("Content-Length", "2"), ("Date", "Mon")), b"hi"), 0.3),
    (Response(1, 200, (("Content-Length", "100000"),), LARGE), 0.4),
)


class FakeProcess:
    """A process that emits *lines*, and then ends as *how* says, or hangs."""

    def __init__(self, lines: Sequence[bytes], how: str = "exit code 0", *, hangs: bool = False) -> None:
        self.ended_well = how == "exit code 0"
        self.code = 0 if self.ended_well else 1
        self.log = "its log"
        self._lines, self._how, self._hangs = lines, how, hangs

    async def lines(self) -> AsyncIterator[bytes]:
        for line in self._lines:
            yield line
        if self._hangs:
            await anyio.sleep_forever()

    async def exit_report(self, patience: float = 0) -> str | None:
        return None if self._hangs else self._how


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verdict]:
    """Return a function that replays a recorded story by a process that the test makes up."""

    def call(
        mode: Mode,
        process: FakeProcess,
        story: Sequence[tuple[Event, float]] = STORY,
        *,
        complete: bool = True,
    ) -> Verdict:
        run = RunFolder.create(tmp_path / "run", "")
        for tape in (run.recording, run.client):
            tape.write_bytes(b'{"env": {}, "cwd": "/"}\n')
        with Journal(run.transcript, run.bodies) as journal:
            journal.write(Run("run", "mixed", 1, 2, 1, "now"))
            for event, at in story:
                if isinstance(event, Request):
                    journal.resume(event, at=at)
                elif isinstance(event, FailedIteration):
                    journal.write(event, at)
                elif isinstance(event, Response | Failure):
                    journal.complete(event, at)
            if complete:
                journal.end([1, 2, -2, -1], 2)
        started = Started(database=str(tmp_path / "none"))
        result = Result(state=State.COMPLETE, started=started, files=run.digests())
        manifest = Manifest(id="run", created="now", spec=RunSpec(), result=result)

        @asynccontextmanager
        async def traced(*_: object) -> AsyncIterator[FakeProcess]:
            yield process

        for module in (client, process_mode):
            monkeypatch.setattr(module, "traced", traced)
        monkeypatch.setattr(retrace, "check_versions", lambda *_, **__: None)
        spec = VerifySpec(timeout=0.2)
        return anyio.run(replay_once, run, manifest, mode, spec, ignore).verdict

    return call


# ---- the client ------------------------------------------------------------------------------------------


def lived(*story: tuple[Event, float], outcome: bool = True) -> list[bytes]:
    """Return the lines of a client that emits *story*."""
    from loadgen.core.transcript import encode

    lines: list[EntryBody | Entry | SessionEnd] = []

    def keep(digest: str, body: bytes) -> None:
        lines.append(EntryBody(sha256=digest, base64=base64.b64encode(body).decode()))

    for event, at in story:
        name, fields = encode(event, keep)
        lines.append(Entry(name=name, fields=fields, at=at))
    if outcome:
        lines.append(SessionEnd(iterations=2))
    return [to_line(line) for line in lines]


def test_client_that_lives_the_same(judged: Callable[..., Verdict], tmp_path: Path) -> None:
    """The same events in the same order at the same times are identical, and are written down in full."""
    verdict = judged(CLIENT, FakeProcess(lived(*STORY)))
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    assert (verdict.compared, verdict.order_steps, verdict.rules) == (2, 4, ())
    replayed = tmp_path / "run" / "verify" / "1"
    assert (replayed / "bodies" / sha256(LARGE).hexdigest()).read_bytes() == LARGE
    recorded = (tmp_path / "run" / "transcript.jsonl").read_text().splitlines()
    assert (replayed / "transcript.jsonl").read_text().splitlines()[1:5] == recorded[1:5]


def changed(at: int, event: Event, when: float | None = None) -> list[tuple[Event, float]]:
    story = list(STORY)
    story[at] = event, STORY[at][1] if when is None else when
    return story


@pytest.mark.parametrize(
    ("story", "field"),
    [
        (changed(1, Request(2, 1, "POST", "/c", (("A", "1"),), b"body")), "request:target"),
        (changed(1, Request(2, 1, "POST", "/b", (("A", "2"),), b"body")), "request:headers"),
        (changed(1, Request(2, 1, "POST", "/b", (("A", "1"),), b"Body")), "request:body"),
        (changed(2, Response(2, 200, (("Content-Length", "2"), ("Date", "Tue")), b"hi")), "header:date"),
        (changed(2, Failure(2, "ReadTimeout", "")), "outcome"),
        (changed(2, STORY[2][0], 0.300001), "ended at"),
        (changed(0, STORY[0][0], 0.1000001), "sent at"),
    ],
)
def test_client_that_lives_otherwise(
    judged: Callable[..., Verdict], story: list[tuple[Event, float]], field: str
) -> None:
    """Whatever a client sends, hears or sees of time is compared."""
    verdict = judged(CLIENT, FakeProcess(lived(*story)))
    assert verdict.judgement is Judgement.DIVERGED
    assert [one.field for found in verdict.divergences for one in found.differences] == [field]


def test_client_that_lives_in_another_order(judged: Callable[..., Verdict]) -> None:
    """The first event that is another one ends the comparison, and is told."""
    verdict = judged(CLIENT, FakeProcess(lived(*STORY[:2], STORY[3], STORY[2])))
    assert verdict.judgement is Judgement.DIVERGED
    assert verdict.order is not None
    assert verdict.order.differences[0].replayed == "request 1 ends"
    assert not verdict.reasons


def test_client_that_lives_more(judged: Callable[..., Verdict]) -> None:
    """A request that was not recorded is a difference."""
    more = Request(3, 0, "GET", "/more", ()), 0.5
    verdict = judged(CLIENT, FakeProcess(lived(*STORY, more)))
    assert verdict.judgement is Judgement.DIVERGED


def test_recorded_failures_are_replayed_too(judged: Callable[..., Verdict]) -> None:
    """A time-out is an event like any other: it comes from the tape, and must come again."""
    story = changed(2, Failure(2, "ReadTimeout", "slow"))
    assert judged(CLIENT, FakeProcess(lived(*story)), story).judgement is Judgement.IDENTICAL


def test_another_failure_differs(judged: Callable[..., Verdict]) -> None:
    """The kind of a failure, and its message, are compared."""
    story = changed(2, Failure(2, "ReadTimeout", "slow"))
    other = changed(2, Failure(2, "ConnectError", "refused"))
    assert judged(CLIENT, FakeProcess(lived(*other)), story).judgement is Judgement.DIVERGED


FAILED = FailedIteration(1, 1, "s", 2, "AssertionError", "no such page", "s.py, line 3"), 0.35


@pytest.mark.parametrize(
    ("replayed", "judgement"),
    [
        (FAILED, Judgement.IDENTICAL),
        ((replace(FAILED[0], message="another page"), 0.35), Judgement.DIVERGED),
        (None, Judgement.DIVERGED),
    ],
)
def test_failed_iterations_are_compared(
    judged: Callable[..., Verdict], replayed: tuple[Event, float] | None, judgement: Judgement
) -> None:
    """What a scenario asserts is part of what a client lives."""
    story = [*STORY[:3], FAILED, STORY[3]]
    other = [*STORY[:3], *([replayed] if replayed else []), STORY[3]]
    assert judged(CLIENT, FakeProcess(lived(*other)), story).judgement is judgement


def test_client_that_leaves_the_tape(judged: Callable[..., Verdict]) -> None:
    """What a scenario asks for that was not recorded is told with the line that asked."""
    left = to_line(LeftTape(code="another-call", why="another", stack=("s.py:3 in run: x",)))
    verdict = judged(CLIENT, FakeProcess([*lived(*STORY[:2], outcome=False), left], "exit code 1"))
    assert verdict.judgement is Judgement.DIVERGED
    (found,) = verdict.divergences
    assert (found.seq, found.code, found.stack) == (2, "another-call", ("s.py:3 in run: x",))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "says"),
    [
        (FakeProcess([], "killed by SIGSEGV"), "killed by SIGSEGV"),
        (
            FakeProcess(lived(*STORY[:3], outcome=False), "killed by SIGSEGV"),
            "after 3 events: killed by SIGSEGV",
        ),
        (FakeProcess(lived(*STORY, outcome=False), "exit code 1"), "exit code 1"),
        (
            FakeProcess(lived(*STORY[:3], outcome=False), hangs=True),
            "hangs: no event in 0.2 s after the first 3",
        ),
    ],
)
def test_client_that_dies_or_hangs_tells_nothing(
    judged: Callable[..., Verdict], process: FakeProcess, says: str
) -> None:
    """A crash and a stall are the engine's, and never identical."""
    verdict = judged(CLIENT, process)
    assert verdict.judgement is Judgement.UNDETERMINED
    (reason,) = verdict.reasons
    assert reason.fault == "engine"
    assert says in reason.message


@pytest.mark.parametrize("mode", [CLIENT, PROCESS])
def test_a_cut_transcript_tells_nothing(judged: Callable[..., Verdict], mode: Mode) -> None:
    """What is compared of it is the same; but it has no end."""
    lines = lived(*STORY) if mode is CLIENT else SENT
    verdict = judged(mode, FakeProcess(lines), complete=False)
    assert verdict.judgement is Judgement.UNDETERMINED
    assert [reason.fault for reason in verdict.reasons] == [TranscriptFault.fault]


# ---- the process -----------------------------------------------------------------------------------------


def told(what: str, number: int, data: bytes | None = None) -> bytes:
    line = f"{what} {number}".encode()
    return line if data is None else line + b" " + base64.b64encode(data)


def asks(seq: int) -> bytes:
    return told("<", seq, b"GET / HTTP/1.1\r\nHost: h\r\nX-Loadgen-Seq: %d\r\n\r\n" % seq)


FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + LARGE
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Mon\r\n\r\nhi"
SENT = [asks(2), asks(1), told(">", 1, FIRST), told(">", 2, SECOND), told(".", 2), told(".", 1)]


def test_process_that_sends_the_same(judged: Callable[..., Verdict]) -> None:
    """Answers are paired by the numbers of their requests, whenever they are sent."""
    verdict = judged(PROCESS, FakeProcess(SENT))
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    assert (verdict.compared, verdict.order_steps) == (2, None)


def test_process_that_sends_another_date(judged: Callable[..., Verdict]) -> None:
    """What the server itself adds comes from the tape, and is compared."""
    other = SECOND.replace(b"Mon", b"Tue")
    verdict = judged(PROCESS, FakeProcess([*SENT[:3], told(">", 2, other)]))
    assert verdict.judgement is Judgement.DIVERGED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "says"),
    [
        (FakeProcess([], "killed by SIGSEGV"), "killed by SIGSEGV"),
        (FakeProcess(SENT, "killed by SIGSEGV"), "killed by SIGSEGV"),
        (FakeProcess(SENT[:3]), "did not answer 1 of the requests, the first of them request 2"),
        (FakeProcess(SENT, hangs=True), "hangs"),
        (FakeProcess(SENT[:3], hangs=True), "hangs"),
        (FakeProcess([*SENT, asks(2), told(">", 2, SECOND)]), "twice: [2"),
        (FakeProcess([*SENT, asks(9), told(">", 9, SECOND)]), "not sent, or twice: [9]"),
    ],
)
def test_process_that_crashes_or_stalls_tells_nothing(
    judged: Callable[..., Verdict], process: FakeProcess, says: str
) -> None:
    """All answers may be the same: a replay that did not come to its end is not."""
    verdict = judged(PROCESS, process)
    assert verdict.judgement is Judgement.UNDETERMINED
    (reason,) = verdict.reasons
    assert reason.fault == "engine"
    assert says in reason.message


@pytest.mark.parametrize(("name", "found"), [(["::1", 80], ("::1", 80)), ("/run/server.sock", None)])
def test_an_address_that_the_tap_tells(name: list[str | int] | str, found: tuple[str, int] | None) -> None:
    """A server may also listen on a path, which is not where requests are sent."""
    told = base64.b64encode(json.dumps(name).encode())
    assert told_address(b"listening 1 %s\n" % told) == found
    assert told_address(b"< 1 %s\n" % told) is None


def test_a_client_that_cannot_be_traced_is_named() -> None:
    """The message is about the client, not about the server, and says what else is possible."""
    spec = RunSpec(mode=ModeName.CLIENT, traffic=CommandTraffic(client="curl {url}"))
    with pytest.raises(UsageError, match=r"the client curl cannot be traced") as caught:
        script_of(spec)
    assert "Without --trace client, any client can be recorded" in caught.value.advice
