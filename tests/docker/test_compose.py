"""The compose file, run by every installed Compose: version 2, and docker-compose 1.29."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
FILE = "compose/docker-compose.yml"
BASE = "loadgen-test:base"
"""The base image under a name of the tests' own, so that nobody's image is replaced."""
COMPOSES = (("docker", "compose"), ("docker-compose",))
UNSTEADY = """
from flask import Flask
app = Flask(__name__)

@app.get("/address")
def answer():
    return {"id": 1, "address": id(object())}

app.run()
"""
STEADY = """
import time
from flask import Flask
app = Flask(__name__)

@app.get("/<path:what>")
def answer(what):
    return {"at": time.time(), "what": what}

if __name__ == "__main__":
    app.run()
"""
CLIENT = """
import os, time, urllib.request
for number in range(3):
    print(urllib.request.urlopen(f"{os.environ['SERVER_URL']}/{time.time()}").read())
"""
SCENARIO = """
from loadgen import User, scenario

@scenario(concurrency=1, iterations=4)
async def look(user: User) -> None:
    await user.http.get("/a")
"""


@dataclass
class Compose:
    """One Compose, and a project of its own."""

    command: tuple[str, ...]
    project: str
    folder: Path
    settings: dict[str, str]

    def __call__(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [*self.command, "-f", FILE, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "COMPOSE_PROJECT_NAME": self.project,
                "TEST_IMAGE": BASE,
                **self.settings,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout

    def up(self, service: str, *options: str) -> tuple[int, str]:
        return self("up", "--abort-on-container-exit", *options, service)


@pytest.fixture(scope="module")
def projects(engine: Any) -> Iterator[list[str]]:
    """The projects that ran; their images are removed at the end, because they share layers."""
    names: list[str] = []
    yield names
    for name in names:
        with suppress(ImageNotFound):
            engine.images.remove(f"loadgen/{name}/{BASE}")


@pytest.fixture(params=COMPOSES, ids=" ".join)
def compose(request: pytest.FixtureRequest, engine: Any, projects: list[str]) -> Iterator[Compose]:
    if not _works(request.param):
        told = f"{' '.join(request.param)} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{told}: these tests may not be skipped in CI")
        pytest.skip(told)
    engine.images.get("python:3.11-slim").tag(*BASE.split(":"))
    made = Compose(request.param, f"loadgen-test-{secrets.token_hex(3)}", ROOT, {"ITERATIONS": "4"})
    projects.append(made.project)
    yield made
    made("down", "--volumes")
    assert (
        engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={made.project}"})
        == []
    )


def _works(command: tuple[str, ...]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0


def test_record_and_replay_again_and_again(compose: Compose, engine: Any) -> None:
    """Each phase ends by itself with exit code 0, and starts clean the next time."""
    for build in (("--build",), ()):
        code, said = compose.up("record", *build)
        assert code == 0, said
        assert "recorded   160 requests" in said
        code, said = compose.up("replay")
        assert code == 0, said
        assert "IDENTICAL  All 160 answers" in said
    states = {
        one.labels["com.docker.compose.service"]: one.attrs["State"]["ExitCode"]
        for one in engine.containers.list(
            all=True, filters={"label": f"com.docker.compose.project={compose.project}"}
        )
    }
    assert states == {"flask-record": 0, "record": 0, "flask-replay": 0, "replay": 0}


@pytest.mark.parametrize("compose", COMPOSES[:1], ids=" ".join, indirect=True)
def test_a_folder_and_other_modes(compose: Compose, tmp_path: Path) -> None:
    """Server and client come from APP; a traced client, and a whole process, are replayed alone."""
    for part in ("compose", "loadgen", "server_app"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "compose" / "app" / "app.py").write_text(STEADY)
    (tmp_path / "compose" / "app" / "test.py").write_text(CLIENT)
    (tmp_path / "compose" / "app" / "load.py").write_text(SCENARIO)
    compose.folder = tmp_path
    for settings, requests, replay in (
        ({"TARGET": "/app"}, 3, "replay-alone"),
        ({"CLIENT": "SERVER_URL={url} python /app/test.py"}, 3, "replay"),
        ({"SCENARIO": "/app/load.py", "TRACE": "process", "CONCURRENCY": "1"}, 4, "replay-alone"),
    ):
        compose.settings = {"TARGET": "/app/app.py", **settings}
        code, said = compose.up("record", *(("--build",) if settings == {"TARGET": "/app"} else ()))
        assert code == 0, said
        assert f"recorded   {requests} requests" in said
        code, said = compose.up(replay)
        assert code == 0, said
        assert f"IDENTICAL  All {requests} answers" in said


def test_exit_codes_propagate(compose: Compose, tmp_path: Path) -> None:
    """A replay that diverges ends with 1, for a server of one's own as for the bundled one."""
    for part in ("compose", "loadgen", "server_app"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "compose" / "app" / "serve.py").write_text(UNSTEADY)
    compose.folder = tmp_path
    compose.settings |= {"TARGET": "/app/serve.py", "ITERATIONS": "2"}
    code, said = compose.up("record", "--build")
    assert code == 0, said
    code, said = compose.up("replay")
    assert code == 1, said
    assert "DIVERGED" in said
