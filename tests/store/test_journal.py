"""The journal: the only owner of order; each line is on disk before anything else happens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest

from loadgen.client.builtin import find
from loadgen.client.recording import RecordingTransport
from loadgen.client.scenario import User
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import INLINE_LIMIT, End, Event, Order, Run
from loadgen.store.journal import ORDER_PIECE, Journal, PartJournal
from loadgen.store.run_folder import read_transcript

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
RUN = Run("r", "mixed", 1, 2, 3, "2026-01-01T00:00:00+00:00")
USERS = 40
TURNS = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def opened(path: Path) -> Journal:
    return Journal(path, path.parent / "bodies")


def lines(path: Path) -> list[dict[str, Any]]:
    """Parse what is on disk, seen through a handle of our own."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def events(path: Path) -> list[Event]:
    with read_transcript(path, path.parent / "bodies") as read:
        return list(read)


def test_what_is_written_is_read(path: Path) -> None:
    """A session's journal is a whole transcript of exactly what happened, bodies of any size included."""
    large = bytes(range(256)) * (INLINE_LIMIT // 256)
    with opened(path) as journal:
        journal.write(RUN)
        one = journal.issue(0, "POST", "/a", (("Host", "x"), ("X-A", "é")), large)
        two = journal.issue(1, "GET", "/b", (), b"")
        journal.complete(Response(2, 200, (("Set-Cookie", "a"), ("Set-Cookie", "b")), large))
        journal.complete(Failure(1, "ReadTimeout", "slow"))
        journal.end([1, 2, -2, -1], 2)
    assert (one.seq, two.seq) == (1, 2)
    assert events(path) == [
        RUN,
        Request(1, 0, "POST", "/a", (("Host", "x"), ("X-A", "é")), large),
        Request(2, 1, "GET", "/b", ()),
        Response(2, 200, (("Set-Cookie", "a"), ("Set-Cookie", "b")), large),
        Failure(1, "ReadTimeout", "slow"),
        Order((1, 2, -2, -1)),
        End(2),
    ]
    assert len(list((path.parent / "bodies").iterdir())) == 1


def test_each_line_is_on_disk_at_once(path: Path) -> None:
    """What was written is seen by another reader before the writer does anything else."""
    with opened(path) as journal:
        journal.write(RUN)
        assert [line["event"] for line in lines(path)] == ["run"]
        journal.issue(0, "GET", "/", (), b"x" * INLINE_LIMIT)
        assert [line["event"] for line in lines(path)] == ["run", "request"]
        digest = lines(path)[-1]["body"]["sha256"]
        assert (path.parent / "bodies" / digest).read_bytes() == b"x" * INLINE_LIMIT
        journal.complete(Response(1, 200, ()))
        assert [line["event"] for line in lines(path)] == ["run", "request", "response"]


def test_lines_are_for_people_too(path: Path) -> None:
    """A line says first what it is and when, and text is readable as it is."""
    with opened(path) as journal:
        journal.issue(0, "POST", "/ü", (), "naïve ☃".encode())
    text = path.read_text(encoding="utf-8")
    assert text.startswith('{"event":"request","')
    assert '{"text":"naïve ☃"}' in text
    assert next(iter(lines(path)[0])) == "event"
    assert "at" in lines(path)[0]


def test_time_never_runs_backwards(path: Path) -> None:
    """``at`` grows from line to line, from about zero."""
    with opened(path) as journal:
        for _ in range(50):
            journal.complete(Response(journal.issue(0, "GET", "/", (), b"").seq, 200, ()))
    times = [line["at"] for line in lines(path)]
    assert times == sorted(times)
    assert 0 <= times[0] < 5


def test_a_transcript_is_never_overwritten(path: Path) -> None:
    """An existing transcript stays as it is."""
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        opened(path)
    assert path.read_bytes() == b"precious"


def test_running_figures(path: Path) -> None:
    """Requests, failures, statuses and open requests are counted as they happen."""
    with opened(path) as journal:
        for _ in range(4):
            journal.issue(0, "GET", "/", (), b"")
        assert journal.open_requests == 4
        journal.complete(Response(1, 200, ()))
        journal.complete(Response(2, 404, ()))
        journal.complete(Response(3, 200, ()))
        journal.complete(Failure(4, "ReadTimeout", ""))
        assert (journal.requests, journal.failures, journal.open_requests) == (4, 1, 0)
        assert journal.statuses == {200: 2, 404: 1}
        assert journal.latency.count == 4
        assert journal.tally.succeeded.count == 2


@pytest.mark.parametrize("steps", [0, 1, ORDER_PIECE, ORDER_PIECE + 1, 2 * ORDER_PIECE])
def test_the_order_is_written_in_pieces(path: Path, steps: int) -> None:
    """However long the server's order is, all of it is there, in lines of bounded length."""
    order = [step for seq in range(1, steps + 1) for step in (seq, -seq)][:steps]
    with opened(path) as journal:
        journal.write(RUN)
        for _ in range(steps):
            journal.complete(Response(journal.issue(0, "GET", "/", (), b"").seq, 200, ()))
        journal.end(order, steps)
    pieces = [event.steps for event in events(path) if isinstance(event, Order)]
    assert [step for piece in pieces for step in piece] == order
    assert all(len(piece) <= ORDER_PIECE for piece in pieces)


async def test_numbers_are_dense_under_concurrency(path: Path) -> None:
    """However users interleave, numbers are 1, 2, 3, ... in the order of the file, each answered once."""

    async def answer(request: httpx.Request) -> httpx.Response:
        for _ in range(int(request.headers["X-Loadgen-Seq"]) * 7 % 4):
            await anyio.lowlevel.checkpoint()
        return httpx.Response(200, text=request.headers["X-Loadgen-Seq"])

    async def live(user: int) -> None:
        transport = RecordingTransport(httpx.MockTransport(answer), journal, user, lambda: False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            for turn in range(TURNS):
                await http.get(f"/{user}/{turn}")

    with opened(path) as journal:
        journal.write(RUN)
        async with anyio.create_task_group() as users:
            for user in range(USERS):
                users.start_soon(live, user)
        journal.end([], USERS * TURNS)
    read = events(path)  # the reader refuses gaps, doubles and answers to nothing
    requests = [event for event in read if isinstance(event, Request)]
    assert [one.seq for one in requests] == list(range(1, USERS * TURNS + 1))
    assert [one.seq for one in requests] != [event.seq for event in read if isinstance(event, Response)]
    for user in range(USERS):
        assert [one.target for one in requests if one.user == user] == [f"/{user}/{t}" for t in range(TURNS)]
    assert {event.seq: event.body for event in read if isinstance(event, Response)} == {
        seq: b"%d" % seq for seq in range(1, USERS * TURNS + 1)
    }


@pytest.mark.slow
@pytest.mark.parametrize("large", [False, True], ids=["small bodies", "large bodies"])
def test_killed_in_mid_run_stays_readable(tmp_path: Path, *, large: bool) -> None:
    """A writer killed without warning leaves a transcript that is torn at most in its last line."""
    path = tmp_path / "transcript.jsonl"
    script = f"""
import sys
from pathlib import Path
from loadgen.store.journal import Journal
from loadgen.core.exchange import Response
from loadgen.core.transcript import Run
journal = Journal(Path({str(path)!r}), Path({str(tmp_path / "bodies")!r}))
journal.write(Run("r", "s", 1, 1, 1, "now"))
while True:
    body = b"%d" % journal.requests * {30_000 if large else 10}
    one = journal.issue(0, "POST", "/", (), body)
    journal.complete(Response(one.seq, 200, (), body))
    if one.seq == 20:
        print("under way", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"under way\n"
        time.sleep(0.02)
        process.kill()
    with read_transcript(path, tmp_path / "bodies") as read:
        found = list(read)
    assert read.requests >= 20
    assert not read.ended
    assert sum(isinstance(event, Response) for event in found) in {read.requests, read.requests - 1}


async def test_same_seed_and_same_answers_make_the_same_plan(tmp_path: Path) -> None:
    """A virtual user's requests depend on seed, number and answers only; another seed makes others."""

    async def plan(seed: int, name: str) -> list[tuple[int, str, str, object, bytes]]:
        path = tmp_path / name
        rows: list[dict[str, Any]] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and request.url.path == "/api/users":
                rows.append({})
                return httpx.Response(201, json={"id": len(rows)})
            return httpx.Response(200, json={})

        with opened(path) as journal:
            journal.write(RUN)
            for number in range(3):
                transport = RecordingTransport(httpx.MockTransport(answer), journal, number, lambda: False)
                async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                    user = User(number, 3, http, Random(f"{seed}/mixed/{number}"), lambda line: None)
                    for _ in range(5):
                        await find("mixed").run(user)
        return [
            (one.user, one.method, one.target, one.headers, one.body)
            for one in events(path)
            if isinstance(one, Request)
        ]

    first = await plan(1, "first")
    assert len(first) == 3 * 5 * 5
    assert await plan(1, "again") == first
    assert await plan(2, "other") != first
    by_user = [[one[1:] for one in first if one[0] == number] for number in range(3)]
    assert by_user[0] != by_user[1] != by_user[2]


def test_a_full_disk_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to a full disk names the transcript, also where closing it writes again."""
    path.symlink_to("/dev/full")
    monkeypatch.setattr(Journal, "_FLAGS", PartJournal._FLAGS)  # as for an existing file
    with pytest.raises(OSError, match="No space left") as caught, opened(path) as journal:
        journal.write(RUN)
    assert caught.value.filename == str(path)
