"""Faults in containers: a clear message, the right exit code, the logs kept, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.docker.conftest import SLOW, Loadgen, interrupt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker
HUNGRY = """
from flask import Flask
app = Flask(__name__)
kept = []

@app.route("/api/<path:what>", methods=["GET", "POST"])
def answer(what):
    kept.append(b"x" * (200 << 20))
    return {"id": 1}

app.run()
"""
TAKES_THE_PORT = """
import socket
from flask import Flask
taken = socket.create_server(("0.0.0.0", 5000))
Flask(__name__).run()
"""


def test_an_image_that_does_not_exist_is_named(loadgen: Loadgen) -> None:
    """Neither here nor at a registry: the message names the image, and no run folder is made."""
    code, _, err = loadgen.record("--image", "loadgen-test/no-such-image:none").finish()
    assert code == 3
    assert "loadgen-test/no-such-image:none" in err
    assert not (loadgen.folder / "runs").exists()


def test_an_image_that_cannot_be_built_shows_the_end_of_the_build(loadgen: Loadgen) -> None:
    """The build's own last words say why."""
    (loadgen.folder / "needs.txt").write_text("./no-such-folder-to-install\n")
    code, _, err = loadgen.record("--requirements", "needs.txt").finish()
    assert code == 3
    assert "cannot be built" in err
    assert "no-such-folder-to-install" in err


def test_an_image_without_loadgen_is_told_by_its_server_log(loadgen: Loadgen) -> None:
    """A prebuilt image that is not made by our Dockerfile."""
    code, _, err = loadgen.record("--image", "python:3.11-slim").finish()
    assert code == 3
    assert "loadgen" in err
    loadgen.failed_run()


def test_a_port_that_the_application_has_taken_itself(loadgen: Loadgen) -> None:
    """Nothing is published on the host, so only the application can take the server's port."""
    code, _, err = loadgen.record(loadgen.server(TAKES_THE_PORT)).finish()
    assert code == 3
    assert "in use" in err
    loadgen.failed_run()


def test_a_server_killed_while_recording(loadgen: Loadgen) -> None:
    """kill -9 of the server's container: who, how, and what was recorded until then is kept."""
    command = loadgen.record("-n", "100", loadgen.server(SLOW))
    command.busy("record")
    command.container("flask-record").kill("SIGKILL")
    code, _, err = command.finish()
    assert code == 3
    assert "server to record was killed by SIGKILL" in err
    manifest = loadgen.failed_run()
    assert "SIGKILL" in manifest["result"]["error"]
    assert (loadgen.folder / "runs" / manifest["id"] / "transcript.jsonl").stat().st_size


def test_a_load_generator_killed_while_recording(loadgen: Loadgen) -> None:
    """kill -9 of the load generator's container: the server leaves by itself."""
    command = loadgen.record("-n", "100", loadgen.server(SLOW))
    command.busy("record").kill("SIGKILL")
    code, _, err = command.finish()
    assert code == 3
    assert "load generator's container was killed by SIGKILL" in err
    loadgen.failed_run()


def test_a_server_out_of_memory(loadgen: Loadgen) -> None:
    """The kernel's verdict is passed on, with what to do about it."""
    code, _, err = loadgen.record("--memory", "256m", loadgen.server(HUNGRY)).finish()
    assert code == 3
    assert "out of memory" in err
    assert "--memory" in err
    loadgen.failed_run()


@pytest.mark.parametrize(
    ("service", "blamed"),
    [("flask-replay", "the server to replay was killed by SIGKILL"), ("replay", "killed by SIGKILL")],
)
def test_a_container_killed_while_replaying(
    loadgen: Loadgen, recorded: Path, service: str, blamed: str
) -> None:
    """kill -9 in a replay is never a verdict but undetermined, with the log beside it."""
    command = loadgen.verify(str(recorded))
    command.busy("replay")
    command.container(service).kill("SIGKILL")
    code, out, _ = command.finish()
    assert code == 3
    assert "UNDETERMINED" in out
    assert blamed in " ".join(out.split())
    newest = max((recorded / "verify").iterdir(), key=lambda path: int(path.name))
    assert json.loads((newest / "verdict.json").read_text())["verdict"] == "undetermined"
    assert (newest / "server.log").stat().st_size


def test_ctrl_c_while_recording_keeps_what_was_recorded(loadgen: Loadgen) -> None:
    """The first one finishes what is under way: the run is complete, and verifies."""
    command = loadgen.record("-n", "100", "--run", "run", loadgen.server(SLOW))
    command.busy("record")
    interrupt(command)
    code, out, err = command.finish()
    assert code == 130, err
    assert "can be verified" in out
    code, out, _ = loadgen.verify("run").finish()
    assert (code, out.split()[0]) == (0, "IDENTICAL")


def test_ctrl_c_twice_while_recording_ends_at_once(loadgen: Loadgen) -> None:
    """And still nothing is left, and the run says failed."""
    command = loadgen.record("-n", "100", loadgen.server(SLOW.replace("0.1", "2")))
    command.container("record")
    time.sleep(1)
    interrupt(command)
    time.sleep(0.3)
    interrupt(command)
    code, _, _ = command.finish(60)
    assert code == 130
    loadgen.failed_run()


def test_ctrl_c_while_replaying_ends_at_once(loadgen: Loadgen, recorded: Path) -> None:
    """A verification that was interrupted has no verdict."""
    command = loadgen.verify(str(recorded))
    command.busy("replay")
    interrupt(command)
    code, out, _ = command.finish(60)
    assert (code, out) == (130, "")


def test_what_a_killed_command_left_ends_by_itself_and_can_be_cleaned(loadgen: Loadgen) -> None:
    """kill -9 of loadgen itself: its containers end, ``clean`` removes them, and leaves those of others."""
    server = loadgen.server(SLOW)
    other = loadgen.record("-n", "400", "--run", "other", server)
    other.busy("record")
    killed = loadgen.record("-n", "10000", "--run", "killed", server)
    killed.busy("record")
    killed.process.kill()
    killed.process.wait()
    end = time.monotonic() + 30
    while any(one.status == "running" for one in killed.made("containers")):
        assert time.monotonic() < end, "the containers run on without anyone"
        time.sleep(0.2)
    assert killed.left()
    code, out, _ = loadgen.start("clean").finish()
    assert code == 0
    removed = Counter(line.split()[1] for line in out.splitlines() if line.startswith("removed"))
    removed.pop("folder", None)  # temporary ones, of whoever was killed on this machine
    assert removed == {"container": 2, "network": 1, "volume": 1}
    assert killed.left() == []
    assert len(other.left()) == 4
    interrupt(other)
    assert other.finish()[0] == 130


def test_no_engine(tmp_path: Path) -> None:
    """The message says what is missing, and how to do without."""
    code, err = _without_docker(tmp_path, [], "unix:///no/such/docker.sock")
    assert code == 3
    assert "no Docker engine answers" in err
    assert "--runtime local" in err


def test_no_permission(tmp_path: Path) -> None:
    """A socket that is not ours: the message names the group."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        without_privilege: list[str] = []
        if os.geteuid() == 0:  # root may do anything, unless told otherwise
            if not shutil.which("setpriv"):
                pytest.skip("needs setpriv to give up root's privileges")
            os.chown(path, 65534, 65534)
            without_privilege = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        code, err = _without_docker(tmp_path, without_privilege, f"unix://{path}")
    assert code == 3
    assert "no permission" in err
    assert "docker group" in err


def _without_docker(folder: Path, prefix: list[str], host: str) -> tuple[int, str]:
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "loadgen", "record", "--runtime", "docker"],
        cwd=folder,
        env={**os.environ, "DOCKER_HOST": host},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr
