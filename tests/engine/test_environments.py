"""loadgen runs in its own environment, and drives a server of another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.once]

BARE = """
    import importlib.metadata, json, random, sys, sysconfig, time
    from wsgiref.simple_server import make_server

    def foreign():
        library, here = sysconfig.get_path("stdlib"), __file__.rpartition("/")[0]
        for name, module in sorted(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            top = name.partition(".")[0].removeprefix("_").partition("_")[0]
            if file and not file.startswith((library, here)) and top != "retracesoftware":
                yield name

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        installed = sorted(one.name for one in importlib.metadata.distributions())
        told = [[*foreign()], installed, sys.prefix, sys.path, random.random(), time.time_ns()]
        return [json.dumps(told).encode()]

    make_server("", 0, app).serve_forever()
"""
SHOP = """
    import random, time
    from flask import Flask, abort, jsonify, make_response, request, session
    app = Flask(__name__)
    app.secret_key = "k"
    seen = []

    @app.get("/")
    def home():
        seen.append(time.time())
        session["n"] = len(seen)
        return jsonify(len(seen), random.random())

    @app.get("/stream")
    def stream():
        return (f"{number} {time.time_ns()}" for number in range(3)), {"X-At": str(time.time())}

    @app.get("/gone")
    def gone():
        abort(410)

    @app.get("/broken")
    def broken():
        raise ValueError(time.time_ns())

    if __name__ == "__main__":
        app.run(threaded=True)
"""


def environment(folder: Path, *packages: str) -> Path:
    """Make an environment with nothing but *packages*; return its folder."""
    pip = () if packages else ("--without-pip",)
    subprocess.run([sys.executable, "-m", "venv", *pip, folder], check=True)
    if packages:
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)
    return folder


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the oldest Flask and Werkzeug that are supported."""
    return environment(tmp_path_factory.mktemp("oldest"), "flask==2.2.0", "werkzeug==2.2.0")


def call(folder: Path, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *map(str, words)],
        cwd=folder,
        env={**{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(folder: Path, *words: object, **variables: str) -> str:
    """Record and verify in *folder*; return the Python that ran the server."""
    done = call(folder, "record", "--run", "run", "-c4", "-n4", *words, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    verified = call(folder, "verify", "run")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "IDENTICAL" in verified.stdout
    python: str = json.loads((folder / "run" / "run.json").read_text())["spec"]["python"]
    return python


def written(folder: Path, name: str, source: str) -> Path:
    (folder / name).write_text(textwrap.dedent(source))
    return folder


@pytest.mark.parametrize("schedule", ["turns", "parallel"])
def test_nothing_of_loadgen_is_needed_or_seen(tmp_path: Path, schedule: str) -> None:
    """The server's environment is empty: the engine is brought along, and so are the traced modules alone."""
    bare = environment(tmp_path / "bare")
    written(tmp_path, "serve.py", BARE)
    (tmp_path / "load.py").write_text(
        "from loadgen import scenario\n@scenario\nasync def visit(user):\n    await user.http.get('/')\n"
    )
    python = recorded(tmp_path, "--python", bare, "--schedule", schedule, "--scenario", "load.py", "serve.py")
    assert python == str(bare / "bin" / "python")
    events = map(json.loads, (tmp_path / "run" / "transcript.jsonl").read_text().splitlines())
    answers = [json.loads(one["body"]["text"]) for one in events if one["event"] == "response"]
    assert len(answers) == 16
    for modules, installed, prefix, path, *_ in answers:
        inside = {one for one in modules if not one.startswith("loadgen.traced")}
        assert inside == {"loadgen", "loadgen.protocol"}
        assert installed == []
        assert prefix == str(bare)
        assert not [entry for entry in path if "site-packages" in entry and not entry.startswith(prefix)]


@pytest.mark.parametrize("target", ["serve.py", "-- {}/bin/flask --app serve run"])
def test_the_oldest_flask(tmp_path: Path, oldest: Path, target: str) -> None:
    """Flask 2.2 and Werkzeug 2.2: sessions, streams, errors and tracebacks, however the server is started."""
    written(tmp_path, "serve.py", SHOP)
    words = target.format(oldest).split()
    given = () if "bin" in target else ("--python", oldest)
    assert Path(recorded(tmp_path, *given, *words)).parent == oldest / "bin"


def test_the_activated_environment(tmp_path: Path, oldest: Path) -> None:
    """An activated environment runs the server, of a name that both environments have, too."""
    written(tmp_path, "serve.py", SHOP)
    words = ("--", "flask", "--app", "serve", "run")
    assert recorded(tmp_path, *words, VIRTUAL_ENV=str(oldest)) == str(oldest / "bin" / "python")
    gone = tmp_path / "gone"
    oldest.rename(gone)
    try:
        missing = call(tmp_path, "verify", "run")
        assert (missing.returncode, "--python PATH" in missing.stderr) == (3, True)
        there = call(tmp_path, "verify", "run", "--python", gone)
        assert there.returncode == 0, there.stdout
    finally:
        gone.rename(oldest)


def test_an_environment_without_the_server(tmp_path: Path) -> None:
    """The message names the Python that has not what the server needs."""
    bare = environment(tmp_path / "bare")
    written(tmp_path, "serve.py", SHOP)
    done = call(tmp_path, "record", "--python", bare, "serve.py")
    assert done.returncode == 3
    assert "No module named 'flask'" in done.stderr
    assert str(bare / "bin" / "python") in done.stderr
