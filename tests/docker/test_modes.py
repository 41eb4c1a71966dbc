"""Whole processes, and clients, in containers: what needs no requests is replayed alone, without network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.containers import layout
from tests.docker.conftest import is_as_laid_out

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.conftest import Loadgen

pytestmark = pytest.mark.docker
SERVER = """
import time
from flask import Flask
app = Flask(__name__)

@app.get("/<path:what>")
def answer(what):
    return {"at": time.time(), "what": what}

app.run(port=1)
"""
CLIENT = """
import os, random, time, urllib.request
for number in range(5):
    with urllib.request.urlopen(f"{os.environ['SERVER_URL']}/{random.random()}") as answer:
        print(answer.read(), time.time())
"""


def replayed_alone(loadgen: Loadgen, *words: str) -> str:
    """Verify, and look at the container meanwhile; return the first line."""
    command = loadgen.start("verify", *words)
    alone = command.container("replay-alone")
    is_as_laid_out(alone, layout.REPLAY_ALONE)
    assert alone.attrs["HostConfig"]["NetworkMode"] == "none"
    assert [one.id for one in command.made("containers")] == [alone.id]
    assert command.made("networks") == []
    code, out, err = command.finish()
    assert code == 0, out + err
    return out.splitlines()[0]


def test_a_whole_process(loadgen: Loadgen) -> None:
    """Its replay listens to nobody, and is compared byte for byte."""
    code, _, err = loadgen.record("--trace", "process", "-c", "1", "-n", "4", "--run", "run").finish()
    assert code == 0, err
    assert "IDENTICAL  All 20 answers" in replayed_alone(loadgen, "run")


OWN_ADDRESS = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

HTTPServer(({host!r}, 8123), Answers).serve_forever()
"""
VISIT = """
from loadgen import scenario

@scenario
async def visit(user):
    await user.http.get("/1")
"""


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_server_at_an_address_of_its_own(loadgen: Loadgen, tmp_path: Path, host: str) -> None:
    """It is found on every port; on an address that no other container reaches, it is refused."""
    (tmp_path / "server.py").write_text(OWN_ADDRESS.format(host=host))
    (tmp_path / "visit.py").write_text(VISIT)
    options = ("--trace", "process", "--scenario", "visit.py", "-c", "1", "-n", "2", "--run", "run")
    code, _, err = loadgen.record("server.py", *options).finish()
    if host == "127.0.0.1":
        assert code == 3
        assert "listens on 127.0.0.1:8123, where no other container can reach it" in err
        assert "Let it listen on 0.0.0.0." in err
        return
    assert code == 0, err
    assert "IDENTICAL  All 2 answers" in replayed_alone(loadgen, "run")


def test_virtual_users(loadgen: Loadgen) -> None:
    """The load generator is traced in its own container; the server can be replayed, too."""
    code, _, err = loadgen.record("--trace", "client", "-c", "4", "-n", "4", "--run", "run").finish()
    assert code == 0, err
    assert "The load generator took the same" in replayed_alone(loadgen, "run")
    code, out, err = loadgen.start("verify", "run", "--replay", "boundary").finish()
    assert code == 0, out + err


@pytest.mark.parametrize(("server", "client"), [("test", "client"), ("app", "test")])
def test_folders(loadgen: Loadgen, tmp_path: Path, server: str, client: str) -> None:
    """A server with its client, and a traced client with its server."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f"{server}.py").write_text(SERVER)
    (folder / f"{client}.py").write_text(CLIENT)
    (folder / "requirements.txt").write_text("flask\n")
    code, out, err = loadgen.start("record", "--runtime", "docker", "folder").finish()
    assert code == 0, out + err
    manifest: dict[str, Any] = json.loads((folder / "runs/latest/run.json").read_text())
    assert manifest["result"]["totals"]["visit"]["exit_code"] == 0
    assert manifest["spec"]["load"]["concurrency"] == 1
    if client == "test":
        assert "The load generator took the same 10 steps" in replayed_alone(loadgen, "folder")
    else:
        code, out, err = loadgen.start("verify", "folder").finish()
        assert code == 0, out + err
