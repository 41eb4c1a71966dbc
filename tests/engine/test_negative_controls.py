"""Verify fails if it must, and names request and field: a check that cannot fail proves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec import structs

from loadgen import protocol
from loadgen.client.control import Control
from loadgen.client.transport import WireTransport
from loadgen.core.spec import ModeName
from loadgen.core.verdict import Judgement, Verdict
from loadgen.errors import RecordingFault
from loadgen.modes.local import LocalHost
from loadgen.store.files import digest
from loadgen.store.manifest import Started
from loadgen.store.run_folder import RunFolder
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from loadgen.core.classification import Row
    from loadgen.core.relocation import Relocation
    from loadgen.store.manifest import Manifest

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import os, sqlite3, time
    from contextlib import closing
    from flask import Flask, jsonify

    app = Flask(__name__)

    def rows(query):
        with closing(sqlite3.connect(os.environ["DB_FILE"], timeout=30)) as db:
            with closing(db.execute(query)) as cursor:
                return [list(row) for row in cursor.fetchall()]

    with closing(sqlite3.connect(os.environ["DB_FILE"])) as db:
        db.executescript("create table a(n); create table b(n); insert into a values (1), (2); "
                         "insert into b values (3)")
        db.commit()

    @app.get("/plain")
    def plain():
        return jsonify(at=time.time())

    @app.get("/counts")
    def counts():
        a = rows("select count(*) from a")
        b = rows("select count(*) from b")
        return jsonify(a=a, b=b)

    @app.get("/missing")
    def missing():
        return jsonify(error="there is no such thing"), 404

    if __name__ == "__main__":
        app.run()
"""
CHANGES = {
    "another message": ('"there is no such thing"', '"nothing here"', "/missing", "body:$.error", ""),
    "an extra header": ("a=a, b=b)", 'a=a, b=b), {"X-New": "1"}', "/counts", "header:x-new", ""),
    "another status": ('such thing"), 404', 'such thing"), 410', "/missing", "status", ""),
    "two queries the other way round": (
        'a = rows("select count(*) from a")\n        b = rows("select count(*) from b")',
        'b = rows("select count(*) from b")\n        a = rows("select count(*) from a")',
        "/counts",
        "outcome",
        "the replay the call sqlite3.Connection.execute(",
    ),
    "a query more": (
        "return jsonify(a=a",
        'rows("select 1"); return jsonify(a=a',
        "/counts",
        "outcome",
        "serve.py:9 in rows: with closing(sqlite3.connect(",
    ),
    "a query less": (
        'b = rows("select count(*) from b")',
        "b = [[1]]",
        "/counts",
        "outcome",
        "ended before its recording did",
    ),
    "an exception": ("return jsonify(a=a, b=b)", 'raise KeyError("b")', "/counts", "outcome", "makes a call"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the small server once; its script is beside the run."""
    bench = Bench(tmp_path_factory.mktemp("small"))
    bench.record(bench.script(SERVER), visiting("/plain", "/counts", "/missing"), concurrency=4)
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
    return bench.path


@pytest.mark.parametrize("change", CHANGES)
def test_server_code_differs(small: Path, change: str) -> None:
    """Changed server code diverges at a request that runs it, in the field that it changes."""
    old, new, target, field, says = CHANGES[change]
    bench = Bench(small)
    assert old in SERVER
    bench.script(SERVER.replace(old, new))

    verdict = bench.verify().verdict

    assert verdict.judgement is Judgement.DIVERGED, verdict.to_json()
    assert {divergence.target for divergence in verdict.divergences} == {target}
    assert verdict.diverged == 16
    assert field in {difference.field for difference in verdict.divergences[0].differences}
    assert says in verdict.divergences[0].evidence


def test_recorded_stacks_name_the_call(bench: Bench) -> None:
    """With recorded stacks, the first call that is another is named, with its arguments, and where."""
    old, new, *_ = CHANGES["two queries the other way round"]
    bench.record(bench.script(SERVER), visiting("/plain", "/counts"), concurrency=4, stacks=True)
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
    bench.script(SERVER.replace(old, new))
    verdict = bench.verify().verdict
    assert {one.target for one in verdict.divergences} == {"/counts"}
    first = verdict.divergences[0]
    call = "the call sqlite3.Connection.execute(<sqlite3.Connection>, 'select count(*) from {}')"
    for says in (call.format("a"), call.format("b"), "serve.py:10 in rows"):
        assert says in first.evidence
    assert any("in counts" in call for call in first.stack)


def edit(run: RunFolder, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the lines of a transcript."""
    lines = [json.loads(line) for line in run.transcript.read_text().splitlines()]
    change(lines)
    run.transcript.write_text("".join(json.dumps(line) + "\n" for line in lines))


def line(lines: list[dict[str, Any]], event: str, seq: int) -> dict[str, Any]:
    """Find a line."""
    return next(line for line in lines if line["event"] == event and line.get("seq") == seq)


def test_response_altered(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """An altered recorded answer is named, with its field, and is no divergence of the server."""
    edit(copied(), lambda lines: line(lines, "response", 17).update(status=299))
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert [(one.seq, one.differences[0].field) for one in verdict.divergences] == [(17, "status")]
    assert verdict.reasons[0].fault == "transcript"


def test_response_body_altered(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """One altered byte of one body is named."""

    def change(lines: list[dict[str, Any]]) -> None:
        body = line(lines, "response", 3)["body"]
        body["text"] = body["text"].replace('"', "'", 1)

    edit(copied(), change)
    verdict = bench.verify().verdict
    assert [(one.seq, one.differences[0].field) for one in verdict.divergences] == [(3, "body at byte 1")]
    assert verdict.judgement is Judgement.UNDETERMINED


@pytest.mark.parametrize(
    "change",
    [
        {"target": "/api/stats?x=1"},
        {"method": "DELETE"},
        {"headers": [["Host", "elsewhere"], ["Content-Length", "0"]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_request_altered(bench: Bench, copied: Callable[[], RunFolder], change: dict[str, Any]) -> None:
    """A live request that is not the recorded one is told at once, whatever it would be answered."""
    edit(copied(), lambda lines: line(lines, "request", 9).update(change))
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert [(one.seq, one.differences[0].field) for one in verdict.divergences] == [(9, "outcome")]
    assert "the live request is not the recorded one" in verdict.divergences[0].evidence


def test_request_body_altered(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """One altered byte of a request's body is told at once."""

    def change(lines: list[dict[str, Any]]) -> None:
        first = next(line for line in lines if line["event"] == "request" and line["body"])
        first["body"]["text"] = first["body"]["text"].replace("user", "USER", 1)

    edit(copied(), change)
    verdict = bench.verify().verdict
    assert verdict.diverged == 1
    assert verdict.divergences[0].method == "POST"
    assert "the live request is not the recorded one" in verdict.divergences[0].evidence


def remove(lines: list[dict[str, Any]], event: str, seq: int) -> None:
    """Remove a line."""
    lines.remove(line(lines, event, seq))


def double(lines: list[dict[str, Any]]) -> None:
    """Write request 5 twice."""
    lines.insert(lines.index(line(lines, "request", 6)), line(lines, "request", 5))


def without(lines: list[dict[str, Any]]) -> None:
    """Remove request 5 and its answer."""
    remove(lines, "request", 5)
    remove(lines, "response", 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without, "request 5 is missing"),
        (lambda lines: remove(lines, "request", 5), "request 5 is missing"),
        (lambda lines: remove(lines, "response", 5), "request 5 has no answer"),
        (double, "request 5 appears twice"),
        (lambda lines: lines.pop(), "is truncated"),
        (lambda lines: lines.clear(), "is empty"),
        (lambda lines: lines.__delitem__(slice(len(lines) // 2, None)), "is truncated"),
        (lambda lines: lines.__delitem__(slice(len(lines) // 3, None)), "is truncated"),
        (lambda lines: lines.__delitem__(slice(40, None)), "is truncated"),
    ],
    ids=[
        "missing",
        "request-missing",
        "response-missing",
        "doubled",
        "no-end",
        "empty",
        *("half", "third", "40"),
    ],
)
def test_transcript_damaged(
    bench: Bench,
    copied: Callable[[], RunFolder],
    change: Callable[[list[dict[str, Any]]], None],
    says: str,
) -> None:
    """A damaged transcript is never identical, and the damage is named."""
    edit(copied(), change)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED, verdict.to_json()
    assert says in " ".join(reason.message for reason in verdict.reasons)


def test_transcript_changed_but_equal(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A transcript that was touched proves nothing, even where every answer is equal."""
    edit(copied(), lambda lines: lines[0].update(started="2000-01-01T00:00:00+00:00"))
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert "changed" in verdict.reasons[0].message


def test_transcript_missing(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """Without a transcript there is nothing to tell."""
    copied().transcript.unlink()
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert verdict.reasons[0].fault == "transcript"


def rewrite_manifest(run: RunFolder, **changes: Any) -> None:
    """Change fields of the result in ``run.json``."""
    _, manifest = RunFolder.open(run.path)
    for name, value in changes.items():
        setattr(manifest.result, name, value)
    run.save(manifest)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing"])
def test_recording_damaged(bench: Bench, copied: Callable[[], RunFolder], damage: str) -> None:
    """A recording that is not, to the bit, what was recorded is not replayed: the engine does not check."""
    run = copied()
    content = run.recording.read_bytes()
    match damage:
        case "truncated":
            run.recording.write_bytes(content[:-1])
        case "flipped":
            run.recording.write_bytes(content[:50_000] + bytes([content[50_000] ^ 1]) + content[50_001:])
        case "empty":
            run.recording.write_bytes(b"")
        case "missing":
            run.recording.unlink()
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert verdict.reasons[0].fault == "recording"
    assert verdict.compared == 0


def test_recording_that_could_not_be_written(bench: Bench) -> None:
    """Where the engine cannot write all of it, as on a full disk, the recording is no success."""
    limited = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        from server_app.__main__ import main
        main()
    """
    with pytest.raises(RecordingFault, match="did not write all of it"):
        bench.record(bench.script(limited), iterations=10)
    _, manifest = RunFolder.open(bench.path / "run")
    assert (manifest.result.state, "did not write" in manifest.result.error) == ("failed", True)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.99])
def test_recording_cut_short_unnoticed(bench: Bench, copied: Callable[[], RunFolder], kept: float) -> None:
    """Even a truncated recording whose digest was made to fit is never identical."""
    run = copied()
    content = run.recording.read_bytes()
    run.recording.write_bytes(content[: int(len(content) * kept)])
    files = {path.name: digest(path) for path in (run.recording, run.transcript)}
    rewrite_manifest(run, files=files)
    verdict = bench.verify(timeout=5).verdict
    assert verdict.judgement is not Judgement.IDENTICAL
    assert verdict.reasons or verdict.divergences


@pytest.mark.parametrize("name", ["python", "engine", "tape"])
def test_recorded_by_another_version(bench: Bench, copied: Callable[[], RunFolder], name: str) -> None:
    """A recording of another Python, engine or version of the tape is refused, and the message says which."""
    run = copied()
    _, manifest = RunFolder.open(run.path)
    rewrite_manifest(run, versions={**manifest.result.versions, name: "something else"})
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert "something else" in verdict.reasons[0].message


def test_recorded_by_another_boundary(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A recording of a loadgen with the same version of the tape is replayed, and the verdict names it."""
    run = copied()
    _, manifest = RunFolder.open(run.path)
    rewrite_manifest(run, versions={**manifest.result.versions, "boundary": "older"})
    verdict = bench.conclude(ModeName.BOUNDARY).verdict
    assert verdict.judgement is Judgement.IDENTICAL
    assert [(one.what, "older" in one.recorded) for one in verdict.facts.altered] == [("loadgen", True)]


def test_recording_too_old(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A recording that is older than it may become is undetermined; until then it is identical."""
    run = copied()
    _, manifest = RunFolder.open(run.path)
    label = structs.replace(manifest.spec.label, max_age=30)
    manifest.spec = structs.replace(manifest.spec, label=label)
    for days, judgement in ((29, Judgement.IDENTICAL), (31, Judgement.UNDETERMINED)):
        manifest.created = (datetime.now(UTC) - timedelta(days)).isoformat(timespec="seconds")
        run.save(manifest)
        verdict = bench.conclude(ModeName.BOUNDARY).verdict
        assert verdict.judgement is judgement
    assert [reason.code for reason in verdict.reasons] == [protocol.EXPIRED]


def test_recording_never_completed(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A run that was killed in the middle is undetermined."""
    rewrite_manifest(copied(), state="recording", files={})
    assert bench.verify().verdict.judgement is Judgement.UNDETERMINED


def test_database_is_still_there(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A replay that could reach a database is not begun."""
    run = copied()
    database = bench.path / "app.db"
    database.touch()
    rewrite_manifest(run, started=Started(database=str(database)))
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert str(database) in verdict.reasons[0].message


def children() -> set[int]:
    """Return the processes that this one has started."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def test_replay_server_dies(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A replay that is killed half-way is undetermined, says so at once, and keeps what it had."""
    run = copied()
    before = children()

    def kill() -> None:
        transcript = run.path / "verify" / "1" / "transcript.jsonl"
        while not transcript.exists() or transcript.read_text().count("response") < 50:
            time.sleep(0.002)
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    verdict = bench.verify().verdict
    killer.join()

    assert verdict.judgement is Judgement.UNDETERMINED, verdict.to_json()
    assert verdict.reasons[0].fault == "engine"
    assert "SIGKILL" in verdict.reasons[0].message
    assert 0 < verdict.compared < verdict.requests or verdict.requests < 320
    assert time.monotonic() - began < 15


def test_stuck_replay(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A replay whose tape waits for a request that is not sent is ended; it says what it waits for."""
    run = copied()

    def change(lines: list[dict[str, Any]]) -> None:
        # Request 1 is the first step of the tape: every other one waits for it. Number it as never recorded.
        request, response = line(lines, "request", 1), line(lines, "response", 1)
        lines.remove(request)
        lines.remove(response)
        for other in lines:
            if "seq" in other:
                other["seq"] -= 1
        count = lines[-1]["requests"]
        at = next(n for n, other in enumerate(lines) if other["event"] == "order")
        lines[at:at] = [{**request, "seq": count}, {**response, "seq": count}]

    edit(run, change)
    verdict = bench.verify(timeout=2).verdict
    assert verdict.judgement is not Judgement.IDENTICAL


class LiveHost(LocalHost):
    """A host whose "replay" is the plain server, untraced and with a database."""

    def __init__(self, path: Path, *, honest: bool) -> None:
        super().__init__()
        self._path = path
        self._honest = honest

    @asynccontextmanager
    async def replay(
        self,
        run: RunFolder,
        manifest: Manifest,
        log: Path,
        moved: Relocation,
        *,
        align: tuple[Row, ...] = (),
    ) -> AsyncIterator[Any]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, "-m", "server_app", "--port", str(port)],
            env={**os.environ, "DB_FILE": str(self._path / "live.db")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        wire = WireTransport()
        server: Any = type("Live", (), {"url": url, "transport": wire, "control": Control(url, wire)})()
        server.exit_report = _nothing
        try:
            for _ in range(200):
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                await anyio.sleep(0.05)
            if self._honest:
                await server.control.state()
            yield server
        finally:
            await wire.aclose()
            process.kill()
            process.wait()


async def _nothing() -> None:
    return None


@pytest.mark.parametrize("asked", [True, False], ids=["boundary-asked", "boundary-not-asked"])
def test_replay_answers_live(bench: Bench, copied: Callable[[], RunFolder], *, asked: bool) -> None:
    """A plain server in place of the replay is never identical, even if nobody asks whether it replays."""
    copied()
    verdict: Verdict = bench.verify(host=LiveHost(bench.path, honest=asked)).verdict
    assert verdict.judgement is not Judgement.IDENTICAL
    if not asked:
        assert verdict.diverged == verdict.compared > 0
        assert "served" in {difference.field for difference in verdict.divergences[0].differences}
