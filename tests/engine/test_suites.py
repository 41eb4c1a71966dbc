"""Suites for real: many runs are verified side by side, and none of them ends the others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadgen.client.scenario import Scenario
from loadgen.store.run_folder import RunFolder
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.scenario import User

pytestmark = [pytest.mark.engine, pytest.mark.once]


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_replays_of_one_run_side_by_side(tmp_path: Path, recorded_once: Path) -> None:
    """Each has its own evidence; a difference in any of them is the verdict."""
    run = tmp_path / "one"
    shutil.copytree(recorded_once, run, ignore=shutil.ignore_patterns("verify"))
    good = call(tmp_path, "verify", "one", "--replays", "5", "--jobs", "3")
    assert good.returncode == 0, good.stdout + good.stderr
    verdicts = [json.loads((run / f"verify/{at}/verdict.json").read_text()) for at in range(1, 6)]
    counts = sorted(len(one["replays"]) for one in verdicts)
    assert counts == [0, 0, 0, 0, 5]
    shown = next(one for one in verdicts if len(one["replays"]) > 1)
    assert [one["folder"] for one in shown["replays"]] == ["1", "2", "3", "4", "5"], shown["replays"]

    transcript = (run / "transcript.jsonl").read_bytes()
    (run / "transcript.jsonl").write_bytes(transcript[:-20])
    bad = call(tmp_path, "verify", "one", "--replays", "3", "--jobs", "3")
    assert bad.returncode == 3, bad.stdout + bad.stderr
    assert "replayed 3 times" in bad.stdout


def test_a_folder_of_runs_is_verified(tmp_path: Path, recorded_once: Path) -> None:
    """Good, altered, damaged and foreign runs: each has its row, and the exit code is that of the worst."""
    runs = tmp_path / "recordings"
    for name in ("one", "two"):
        shutil.copytree(recorded_once, runs / name, ignore=shutil.ignore_patterns("verify"))
    good = call(tmp_path, "verify", "recordings", "--jobs", "2")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "2 runs: 2 identical." in good.stdout
    single = call(tmp_path, "verify", "recordings/one", "--html", "one.html")
    assert (single.returncode, "1 run: 1 identical." in single.stdout) == (0, True), single.stderr

    with (runs / "two" / "recording.bin").open("ab") as tape:
        tape.write(b"\0")
    (runs / "torn").mkdir()
    (runs / "torn" / "run.json").write_text("{")
    (runs / "foreign").mkdir()
    files = ("--junit", "junit.xml", "--summary", "summary.md", "--html", "index.html")
    bad = call(tmp_path, "verify", "recordings", *files)
    assert bad.returncode == 3, bad.stdout + bad.stderr
    assert "Traceback" not in bad.stderr
    assert "4 runs: 1 identical, 3 undetermined." in bad.stdout
    suite = ET.fromstring((tmp_path / "junit.xml").read_text())[0]
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("4", "3", "0")
    assert "4 runs" in (tmp_path / "summary.md").read_text()
    assert 'href="recordings/one/report.html"' in (tmp_path / "index.html").read_text()
    assert (runs / "one" / "report.html").is_file()

    listed = json.loads(call(tmp_path, "runs", "recordings", "--json").stdout)
    verdicts = {one["run"]: one.get("verdict", "not read") for one in listed}
    assert verdicts == {"one": "identical", "two": "undetermined", "torn": "not read", "foreign": "not read"}


SERVER = """
    from flask import Flask, jsonify, request
    app = Flask(__name__)
    seen = []

    @app.get("/state")
    def state():
        seen.append(request.args.get("n"))
        return jsonify(state="ok", seen=len(seen))

    app.run(threaded=True)
"""


def test_accepted_answers_take_the_place_of_the_recorded_ones(bench: Bench) -> None:
    """The same requests are recorded anew, in the same folder; the run keeps its name and specification."""
    script = bench.script(SERVER)
    before = bench.record(script, visiting("/state?n=1", "/state"), concurrency=2, iterations=2)
    bench.script(SERVER.replace('"ok"', '"fine"'))
    assert call(bench.path, "verify", "run").returncode == 1
    accepted = call(bench.path, "accept", "run", "--failed", "--yes")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert 'body $.state was "ok" and is "fine"' in " ".join(accepted.stdout.split())  # folded
    verified = call(bench.path, "verify", "run")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    run, manifest = RunFolder.open(bench.path / "run")
    assert (manifest.id, manifest.spec) == (before.manifest.id, before.manifest.spec)
    assert requests(run) == 8
    assert b"fine" in run.transcript.read_bytes()
    assert [path.name for path in bench.path.iterdir() if "run" in path.name] == ["run"]  # nothing is left
    assert call(bench.path, "accept", "run", "--failed", "--yes").stdout == ""  # it is identical: no need


LOG_IN = """
    import secrets
    from flask import Flask, abort, jsonify, request
    app = Flask(__name__)
    tokens = set()

    @app.post("/login")
    def login():
        tokens.add(token := secrets.token_hex(8))
        return jsonify(token=token)

    @app.get("/mine")
    def mine():
        return "" if request.headers["Authorization"].removeprefix("Bearer ") in tokens else abort(401)

    app.run()
"""


async def _log_in(user: User) -> None:
    token = (await user.http.post("/login")).json()["token"]
    await user.http.get("/mine", headers={"Authorization": f"Bearer {token}"})


def test_requests_are_sent_again_with_the_tokens_of_their_session(bench: Bench) -> None:
    """By accept and --from; --verbatim sends the old ones, which no server knows."""
    script = bench.script(LOG_IN)
    bench.record(script, Scenario("log in", "", _log_in), concurrency=2, iterations=1)
    accepted = call(bench.path, "accept", "run", "--yes")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "token of POST /login (2)" in " ".join(accepted.stderr.split())
    for name, more, says in (("new", (), "200: 4"), ("old", ("--verbatim",), "200: 2 401: 2")):
        again = call(bench.path, "record", "serve.py", "--from", "run", "--run", name, *more)
        assert f"answers {says}" in " ".join(again.stdout.split()), again.stdout + again.stderr


def test_what_is_not_accepted_is_kept(bench: Bench) -> None:
    """A server that does not start, and nobody to ask: the old recording stays, bit for bit."""
    script = bench.script(SERVER)
    bench.record(script, visiting("/state"), concurrency=1, iterations=1)
    before = {path.name: path.read_bytes() for path in (bench.path / "run").iterdir() if path.is_file()}
    assert call(bench.path, "accept", "run").returncode == 2
    bench.script("raise SystemExit('broken')")
    broken = call(bench.path, "accept", "run", "--yes")
    assert broken.returncode == 3, broken.stdout + broken.stderr
    assert "kept      run" in broken.stdout
    assert {name: (bench.path / "run" / name).read_bytes() for name in before} == before
    assert [path.name for path in bench.path.iterdir() if "run" in path.name] == ["run"]


def requests(run: RunFolder) -> int:
    with run.read() as events:
        for _ in events:
            pass
        return events.requests
