"""The other two modes of replay with the real engine: a whole server process, and the load generator."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.core.spec import ModeName
from loadgen.core.verdict import Judgement
from loadgen.dispatch import MODES
from loadgen.modes.local import LocalHost
from loadgen.store.files import digest
from loadgen.store.run_folder import RunFolder
from tests.engine.conftest import Bench, visiting
from tests.engine.test_command_line import gone, run, start, wait_for_requests

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.engine

SCRIPT = """
    import datetime, decimal, fractions, os, sqlite3, time, uuid
    from flask import Flask, Response, jsonify

    app = Flask(__name__)

    class Point:
        pass

    sqlite3.register_adapter(Point, lambda point: "a point")
    for kind in (decimal.Decimal, fractions.Fraction, uuid.UUID, datetime.time):
        sqlite3.register_adapter(kind, str)
    NOW = datetime.datetime.now()
    VALUES = [
        Point(), decimal.Decimal("1.5"), fractions.Fraction(1, 2), uuid.UUID(int=7), NOW, NOW.date(),
        NOW.time(),
    ]

    @app.get("/parameters")
    def parameters():
        db = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_COLNAMES)
        db.execute("create table t (v)")
        db.cursor().executemany("insert into t values (?)", [[value] for value in VALUES])
        rows = db.execute('select v, ? as "d [date]" from t', (datetime.date(2026, 1, 2),)).fetchall()
        assert [row[0] for row in rows][:3] == ["a point", "1.5", "1/2"] and rows[0][1].year == 2026
        return jsonify(rows)

    @app.get("/")
    def index():
        return jsonify(at=time.time(), id=str(uuid.uuid4()), pid=os.getpid())

    @app.get("/stream")
    def stream():
        return Response(("%f\\n" % time.time() for _ in range(5)), mimetype="text/plain")

    @app.get("/large")
    def large():
        return Response(os.urandom(200_000), mimetype="application/octet-stream")

    @app.get("/broken")
    def broken():
        raise RuntimeError("planned")

    app.run(host="0.0.0.0", port=80, debug=True, threaded=THREADED)
"""
PATHS = ("/", "/stream", "/large", "/broken", "/parameters", "/nowhere")


def resealed(run: RunFolder, tape: Path, content: bytes) -> None:
    """Change a tape, and make the manifest believe it."""
    tape.write_bytes(content)
    _, manifest = RunFolder.open(run.path)
    manifest.result.files[tape.name] = digest(tape)
    run.save(manifest)


def no_network() -> list[str]:
    """Return what runs a command in a network namespace in which nothing is up, not even loopback."""
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-rn", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine does not let us have a network namespace")
    return [unshare, "-rn"]


# ---- the whole process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threaded", [False, True])
def test_process_at_one_user(bench: Bench, *, threaded: bool) -> None:
    """Every byte of every answer is the same, to its Date, whatever address and threads the server wants."""
    script = bench.script(SCRIPT.replace("THREADED", str(threaded)))
    recorded = bench.record(script, visiting(*PATHS), concurrency=1, iterations=4, mode=ModeName.PROCESS)
    assert recorded.totals.statuses == {200: 16, 404: 4, 500: 4}

    verdict = bench.conclude(ModeName.PROCESS).verdict

    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    assert (verdict.compared, verdict.rules) == (24, ())


EARLY_COLLECTION = """
    import gc, socket, sys, threading
    from flask import Flask

    app = Flask(__name__)

    def start(*_):
        sys.setprofile(None)
        gc.set_threshold(10)
        [[] for _ in range(1_000)]
        gc.set_threshold(1_000_000)

    @app.get("/")
    def leave_a_cycle():
        cycle = [socket.socket()]
        cycle.append(cycle)
        return "left"

    gc.set_threshold(1_000_000)
    threading.setprofile(start)
    app.run(threaded=True)
"""


def test_process_whose_threads_start_with_a_collection(bench: Bench) -> None:
    """What is freed in a thread that the engine has not numbered yet would spoil the tape: nothing is."""
    bench.record(
        bench.script(EARLY_COLLECTION), visiting("/"), concurrency=1, iterations=3, mode=ModeName.PROCESS
    )
    verdict = bench.conclude(ModeName.PROCESS).verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()


PLAIN_SERVER = """
    from http.server import BaseHTTPRequestHandler, HTTPServer
    import time

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = str(time.time_ns()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    HTTPServer(("127.0.0.1", 0), Handler).serve_forever()
"""


def test_process_that_does_not_catch_its_interruption(bench: Bench) -> None:
    """It ends well where it was stopped, recorded and replayed; and the engine alone opens the tape."""
    bench.record(
        bench.script(PLAIN_SERVER), visiting("/", "/"), concurrency=1, iterations=2, mode=ModeName.PROCESS
    )
    assert bench.verify(mode=ModeName.PROCESS).verdict.judgement is Judgement.IDENTICAL
    command = [sys.executable, "-P", "-m", "retracesoftware", "--recording", "run/recording.bin"]
    alone = subprocess.run(
        [*command, "--read_timeout", "100"], cwd=bench.path, capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    assert b"KeyboardInterrupt" in alone.stderr  # the recorded end, and not an error of the tap's
    assert b"AttributeError" not in alone.stderr


def test_process_whose_code_is_new(bench: Bench) -> None:
    """The first run of a module, which has no bytecode yet, replays as well as the next."""
    bench.script("MESSAGE = 'new'", "never_imported_before.py")
    source = SCRIPT.replace("THREADED", "False").replace(
        "app = Flask", "import never_imported_before; app = Flask"
    )
    bench.record(bench.script(source), visiting(*PATHS), concurrency=1, iterations=1, mode=ModeName.PROCESS)
    verdict = bench.conclude(ModeName.PROCESS).verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()


def test_process_of_changed_code(bench: Bench) -> None:
    """An answer that the code makes otherwise now differs; a replay that leaves the tape says so."""
    script = bench.script(SCRIPT.replace("THREADED", "True"))
    bench.record(script, visiting("/", "/"), concurrency=1, iterations=2, mode=ModeName.PROCESS)

    bench.script(SCRIPT.replace("THREADED", "True").replace("pid=os", "who=os"))
    verdict = bench.conclude(ModeName.PROCESS).verdict
    assert verdict.judgement is Judgement.DIVERGED
    assert verdict.diverged == 4
    assert verdict.causes[0].fault == "application"

    bench.script(SCRIPT.replace("THREADED", "True").replace("at=time.time()", "at=time.time() + time.time()"))
    verdict = bench.conclude(ModeName.PROCESS).verdict
    assert verdict.judgement is not Judgement.IDENTICAL
    assert "serve.py), and:" in verdict.reasons[0].message


def test_process_that_crashes(bench: Bench) -> None:
    """A replay that a signal ends is no verdict on the answers: it is told, with where it was."""
    source = SCRIPT.replace("THREADED", "True")
    script = bench.script(source)
    bench.record(script, visiting("/"), concurrency=1, iterations=2, mode=ModeName.PROCESS)
    bench.script(source.replace("app = Flask", "import ctypes; ctypes.string_at(0); app = Flask"))
    verdict = bench.conclude(ModeName.PROCESS).verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert "killed by SIGSEGV" in verdict.reasons[0].message
    assert "serve.py" in verdict.reasons[0].message


# ---- the client ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "concurrency", "iterations"), [("mixed", 8, 3), ("walkthrough", 8, 1), ("mixed", 1, 3)]
)
def test_client_without_a_server(bench: Bench, scenario: str, concurrency: int, iterations: int) -> None:
    """The load generator lives the same, event by event, when nobody listens where its server was."""
    bench.record((), scenario, concurrency=concurrency, iterations=iterations, mode=ModeName.CLIENT)
    first, second = (
        [line for line in path.read_text().splitlines() if '"at"' in line and '"order"' not in line]
        for path in (bench.path / "run" / "transcript.jsonl", replayed(bench))
    )
    assert first[1:-1] == second[1:-1]


def replayed(bench: Bench) -> Path:
    sent = (bench.path / "run" / "client.bin").read_bytes()
    found = re.search(rb"http://127\.0\.0\.1:(\d+)", sent)
    assert found is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=5)
    verified = bench.conclude(ModeName.CLIENT)
    verdict = verified.verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    assert verdict.compared == verdict.requests > 0
    assert verdict.order_steps == 2 * verdict.requests
    return verified.folder / "transcript.jsonl"


SCENARIOS = """
import random, time, uuid
from loadgen import scenario

RUN = uuid.uuid4().hex

@scenario(weight=3, think=(0, 0.01))
async def signs_up(user):
    name = f"{RUN}-{random.random()}-{time.time()}"
    await user.http.post("/api/users", json={"name": name, "email": f"{uuid.uuid4().hex}@example.com"})
    await user.http.get("/api/users", params={"at": time.perf_counter_ns()})

@scenario
async def errs(user):
    assert (await user.http.get("/nowhere")).status_code == 200, "no such page"
"""


@pytest.mark.once
def test_both_sides_of_a_run_without_a_network(tmp_path: Path) -> None:
    """A traced client brings its server's recording along; its own needs no network, but its scenario."""
    file = tmp_path / "users.py"
    file.write_text(SCENARIOS)
    code, _, err = run(
        tmp_path, "record", "--trace", "client", "--scenario", "users.py", "-c", "4", "-n", "3", "--run", "r"
    )
    assert code == 3, err  # assertions failed, as they should
    code, out, err = run(tmp_path, "verify", "r", "--replay", "boundary")
    assert code == 0, err
    assert "recorded in turns" in out
    command = [*no_network(), sys.executable, "-m", "loadgen", "verify", "r"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without server and connections" in done.stdout

    file.write_text(SCENARIOS.replace('"at"', '"on"'))
    code, out, err = run(tmp_path, "verify", "r")
    assert code == 1, out + err
    assert "at fault: the application" in out
    told = " ".join(out.split())
    assert "Its code changed after the recording: " in told
    assert "/users.py." in told


@pytest.mark.once
def test_client_that_is_not_the_recorded_one(bench: Bench) -> None:
    """A load generator with one user less does not do the same."""
    bench.record((), "mixed", concurrency=4, iterations=2, mode=ModeName.CLIENT)
    folder = RunFolder(bench.path / "run")
    content = folder.client.read_bytes()
    users = rb"\"concurrency\":%d,"
    assert content.count(users % 4) == 1
    resealed(folder, folder.client, content.replace(users % 4, users % 3))
    verdict = bench.conclude(ModeName.CLIENT).verdict
    assert verdict.judgement is Judgement.DIVERGED, verdict.to_json()


@pytest.mark.once
@pytest.mark.parametrize("mode", [ModeName.CLIENT, ModeName.PROCESS])
def test_a_recording_that_ends_too_early(bench: Bench, mode: ModeName) -> None:
    """Half a tape is never identical, and neither hangs nor is a bug."""
    bench.record((), "mixed", concurrency=1, iterations=4, mode=mode)
    folder = RunFolder(bench.path / "run")
    content = MODES[mode](LocalHost()).tape(folder).read_bytes()
    resealed(folder, MODES[mode](LocalHost()).tape(folder), content[: len(content) // 2])
    verdict = bench.conclude(mode, timeout=20).verdict
    assert verdict.judgement is Judgement.UNDETERMINED, verdict.to_json()
    assert verdict.reasons


@pytest.mark.once
def test_interrupted_client(tmp_path: Path) -> None:
    """One Ctrl-C ends the session where it is; what was recorded until then can be replayed."""
    with start(tmp_path, "record", "--trace", "client", "-c", "4", "-n", "1000", "--run", "r") as process:
        wait_for_requests(tmp_path / "r", 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    code, out, err = run(tmp_path, "verify", "r")
    assert code == 0, out + err


@pytest.mark.once
@pytest.mark.parametrize("trace", ["client", "process"])
def test_nothing_is_left_behind(tmp_path: Path, trace: str) -> None:
    """A recording whose loadgen was killed leaves no process."""
    with start(tmp_path, "record", "--trace", trace, "-n", "1000", "--run", "r") as process:
        wait_for_requests(tmp_path / "r", 20)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    assert gone(tmp_path / "r", within=30)
