"""``--runtime docker``: the resulting run folder is like a local one, and verifies."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.conftest import Loadgen

pytestmark = pytest.mark.docker
NEEDS_MORE = """
import waitress
from flask import Flask
from beside import WORD
app = Flask(__name__)

@app.route("/api/<path:what>", methods=["GET", "POST"])
def answer(what):
    return {"id": 1, "word": WORD, "waitress": waitress.__name__}

if __name__ == "__main__":
    app.run()
"""
UNSTEADY = NEEDS_MORE.replace("import waitress\n", "").replace("waitress.__name__", "id(object())")


def test_a_concurrent_recording_verifies(loadgen: Loadgen) -> None:
    """Eight users at a time; the folder has the shape, the owner and the modes of a local run."""
    code, out, err = loadgen.record("-c", "8", "-n", "5").finish()
    assert code == 0, err
    assert "recorded   200 requests" in out
    run = (loadgen.folder / "runs" / "latest").resolve()
    assert sorted(path.name for path in run.iterdir()) == [
        "recording.bin", "run.json", "server.log", "transcript.jsonl",
    ]  # fmt: skip
    assert all(path.stat().st_uid == os.getuid() for path in run.iterdir())
    assert stat.S_IMODE((run / "recording.bin").stat().st_mode) == 0o600
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["result"]["state"] == "complete"
    assert manifest["id"] == run.name
    assert manifest["spec"]["topology"]["runtime"] == "docker"
    assert manifest["command"][1:3] == ["record", "--runtime"]
    assert manifest["image"].startswith("sha256:")
    assert manifest["result"]["versions"]["installation"] == "/opt/loadgen/loadgen"

    for number in ("1", "2"):
        code, out, err = loadgen.verify().finish()
        assert code == 0, out + err
        assert out.startswith("IDENTICAL  All 200 answers")
        assert sorted(path.name for path in (run / "verify" / number).iterdir()) == [
            "server.log", "transcript.jsonl", "verdict.json",
        ]  # fmt: skip


def test_a_divergence_comes_out_with_its_details(loadgen: Loadgen) -> None:
    """Exit code 1, and the same words as a local verification has."""
    server = loadgen.server(UNSTEADY)
    (loadgen.folder / "server" / "beside.py").write_text("WORD = 'x'\n")
    assert loadgen.record("-c", "2", "-n", "1", "--run", "run", server).finish()[0] == 0
    code, out, _ = loadgen.verify("run", "--json").finish()
    verdict = json.loads(out)
    assert (code, verdict["verdict"]) == (1, "diverged")
    assert verdict["divergences"][0]["differences"]
    assert verdict["path"] == "run/verify/1"
    assert json.loads((loadgen.folder / "run/verify/1/verdict.json").read_text())["verdict"] == "diverged"

    code, out, _ = loadgen.verify("run", "--explain", "--json").finish()
    verdict = json.loads(out)
    assert (code, len(verdict["replays"])) == (1, 2)
    assert verdict["call_log"]["seq"] == verdict["causes"][0]["first"]["seq"]
    assert verdict["call_log"]["logged"]["calls"] == []


@pytest.mark.parametrize("target", ["server/serve.py", "serve:app"])
def test_a_server_of_ones_own_with_its_requirements(loadgen: Loadgen, target: str) -> None:
    """Its folder and what it needs are in the image, and module and script are both found."""
    loadgen.server(NEEDS_MORE)
    (loadgen.folder / "server" / "beside.py").write_text("WORD = 'beside'\n")
    (loadgen.folder / "needs.txt").write_text("waitress>=3,<4\n")
    needs = "needs.txt"
    if target == "serve:app":
        loadgen.folder, needs = loadgen.folder / "server", "../needs.txt"
    code, _, err = loadgen.record("-n", "1", "--run", "run", "--requirements", needs, target).finish()
    assert code == 0, err
    transcript = (loadgen.folder / "run" / "transcript.jsonl").read_text()
    assert "beside" in transcript
    manifest = json.loads((loadgen.folder / "run" / "run.json").read_text())
    assert manifest["spec"]["target"] == shlex.split(target)
    assert manifest["result"]["started"]["folder"] == "/app"
    code, out, err = loadgen.verify("run").finish()
    assert code == 0, out + err


@pytest.mark.parametrize(
    "command", ["waitress-serve --port 80 --threads 2 serve:app", "python serve.py --port 80"]
)
def test_a_command_with_its_directory_and_environment(loadgen: Loadgen, command: str) -> None:
    """The directory that it is started in is in the image; what is installed there serves."""
    server = loadgen.server(
        NEEDS_MORE.replace(
            "from beside import WORD", "import os, sys\nWORD = [os.environ['WORD'], os.getcwd()]"
        )
    )
    (loadgen.folder / "needs.txt").write_text("waitress>=3,<4\n")
    options = ("--requirements", "needs.txt", "--cwd", "server", "--server-env", "WORD=of a variable")
    recording = loadgen.record("-c", "4", "-n", "1", "--run", "run", *options, "--", *command.split())
    code, _, err = recording.finish()
    assert code == 0, (server, err)
    assert "of a variable" in (loadgen.folder / "run" / "transcript.jsonl").read_text()
    manifest = json.loads((loadgen.folder / "run" / "run.json").read_text())
    assert manifest["spec"]["target"] == shlex.split(command)
    assert manifest["spec"]["server_env"] == ["WORD"]
    assert manifest["result"]["started"]["cwd"] == "/app"
    assert manifest["result"]["database_used"] is False
    code, out, err = loadgen.verify("run").finish()
    assert code == 0, out + err


def test_a_directory_that_the_containers_do_not_have(loadgen: Loadgen) -> None:
    """A server that would be started where its code is not is refused, and nothing is started."""
    (loadgen.folder / "elsewhere").mkdir()
    server = loadgen.folder / loadgen.server(UNSTEADY)
    code, _, err = loadgen.record("-n", "1", "--cwd", "elsewhere", str(server)).finish()
    assert code == 2
    assert "contain only the server's folder" in err


def test_another_python(loadgen: Loadgen, engine: Any) -> None:
    """``--test-image``: recorded and replayed by Python 3.12."""
    import docker

    image = "python:3.12-slim"
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        pytest.skip(f"{image} is not here")
    code, _, err = loadgen.record("-n", "2", "--run", "run", "--test-image", image).finish()
    assert code == 0, err
    manifest = json.loads((loadgen.folder / "run" / "run.json").read_text())
    assert manifest["result"]["versions"]["python"].startswith("3.12.")
    code, out, err = loadgen.verify("run").finish()
    assert code == 0, out + err


def test_a_run_is_verified_where_it_was_recorded(loadgen: Loadgen, recorded: Path) -> None:
    """A local verification of a run in containers, and the reverse, are refused at once, and say why."""
    code, _, err = loadgen.start("verify", "--runtime", "local", str(recorded)).finish()
    assert code == 2
    assert "recorded with --runtime docker" in err
    assert loadgen.start("verify", str(recorded)).finish()[0] == 0
    assert loadgen.start("record", "-n", "1", "--run", "local").finish()[0] == 0
    code, _, err = loadgen.verify("local").finish()
    assert code == 2
    assert "recorded with --runtime local" in err


def test_a_changed_recording_is_not_replayed(loadgen: Loadgen) -> None:
    """A recording is code: neither the verifier nor the server's container touches one that was changed."""
    assert loadgen.record("-n", "1", "--run", "run").finish()[0] == 0
    with (loadgen.folder / "run" / "recording.bin").open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(b"x")
    code, out, _ = loadgen.verify("run").finish()
    assert code == 3
    assert "changed after the recording" in out
    log = (loadgen.folder / "run" / "verify" / "1" / "server.log").read_text()
    assert "changed after the recording" in log
    assert "Running on" not in log


def test_help_does_not_wait_for_docker() -> None:
    """The SDK is imported when it is used, and not before."""
    code = "import sys, loadgen.cli.main; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SCENARIO = """
from beside import PATH
from loadgen import scenario

@scenario(weight=2)
async def look(user):
    assert (await user.http.get(PATH)).status_code == 200

@scenario
async def fail(user):
    assert (await user.http.get(PATH)).status_code == 404, "as it should"
"""


def test_scenario_files_and_load_shapes_are_carried_in(loadgen: Loadgen) -> None:
    """The file and what lies beside it, the rate and the time; what failed in it is heard on the host."""
    (loadgen.folder / "load").mkdir()
    (loadgen.folder / "load" / "beside.py").write_text("PATH = '/api/users'\n")
    (loadgen.folder / "load" / "shop.py").write_text(SCENARIO)
    shape = ("--rate", "20/s", "--duration", "1500ms", "-c", "4")
    code, out, err = loadgen.record("--scenario", "load/shop.py", *shape).finish()
    assert code == 3, out + err
    assert "arrivals   30 iterations at 20/s" in out
    assert " of 30 iterations:" in out
    assert "x fail: AssertionError: as it should (shop.py, line 11)" in out
    manifest = json.loads((loadgen.folder / "runs" / "latest" / "run.json").read_text())
    assert manifest["spec"]["traffic"]["scenario"].endswith("shop.py")
    assert manifest["spec"]["load"]["shape"] == {"duration": 1.5, "ramp_up": 0, "rate": 20}
    code, out, err = loadgen.verify().finish()
    assert (code, out[:9]) == (0, "IDENTICAL"), out + err


def test_files_of_requests_are_carried_in(loadgen: Loadgen) -> None:
    """With what the file names beside it, which was read here."""
    (loadgen.folder / "body.json").write_text('{"name": "Ada", "email": "ada@example.com"}')
    (loadgen.folder / "calls.txt").write_text(
        "curl http://h/api/users --json @body.json\ncurl -L http://h/api/users/1\n"
    )
    code, out, err = loadgen.record("--from", "calls.txt", "-c", "2", "-n", "3").finish()
    assert code == 0, out + err
    assert "recorded   12 requests, 2 at a time" in out
    assert "201: 6" in out
    code, out, err = loadgen.verify().finish()
    assert (code, out[:9]) == (0, "IDENTICAL"), out + err
