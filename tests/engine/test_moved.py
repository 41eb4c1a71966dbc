"""A recording is verified in another checkout, by another installation of the same engine and interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import loadgen
from tests.engine.conftest import Bench, visiting

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import os, sqlite3, sys, traceback
    from contextlib import closing
    from pathlib import Path
    from flask import Flask, jsonify, render_template, send_file
    from greeting import greet

    HERE = Path(__file__).parent
    app = Flask(__name__)

    @app.get("/page")
    def page():
        with closing(sqlite3.connect(os.environ["DB_FILE"])) as connection, connection:
            connection.execute("create table if not exists seen (place text)")
            connection.execute("insert into seen values (?)", (str(HERE),))
            (count,) = connection.execute("select count(*) from seen").fetchone()
        return render_template("page.html", count=count, greeting=greet())

    @app.get("/paths")
    def paths():
        names = {str(HERE / name) for name in "abcdef"}
        return jsonify(__file__, os.getcwd(), sys.path, sys.executable, list(names))

    @app.get("/files")
    def files():
        (HERE / "written.txt").write_text("written")
        return jsonify((HERE / "data.txt").read_text(), sorted(os.listdir(HERE)))

    @app.get("/sent")
    def sent():
        return send_file("data.txt")

    @app.get("/raised")
    def raised():
        try:
            raise ValueError("why")
        except ValueError:
            return traceback.format_exc()

    app.run(threaded=True)
"""
PATHS = ("/page", "/static/style.css", "/paths", "/files", "/sent", "/raised", "/page")
SCENARIO = """
from loadgen import User, scenario

@scenario
async def visit(user: User) -> None:
    for path in {paths!r}:
        await user.http.get(path)
"""


def checkout(folder: Path) -> Bench:
    """Make a folder with the application."""
    bench = Bench(folder)
    for name in ("templates", "static"):
        (folder / name).mkdir(parents=True)
    bench.script(SERVER)
    bench.script("def greet():\n    return 'hello'\n", "greeting.py")
    (folder / "templates/page.html").write_text("<p>{{ greeting }} {{ count }}</p>")
    (folder / "static/style.css").write_text("p { color: red }")
    (folder / "data.txt").write_text("data")
    (folder / "load.py").write_text(SCENARIO.format(paths=PATHS))
    return bench


def installation(folder: Path) -> Path:
    """Make an environment of its own with a copy of loadgen; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    package = Path(loadgen.__file__).parent
    for one in (package, package.with_name("server_app")):
        shutil.copytree(one, packages / one.name)
    return folder / "bin" / "python"


def call(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "loadgen", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_another_checkout_and_another_installation(tmp_path: Path) -> None:
    """Paths in answers, traceback and ETag, in effects and in the order of a set: all are the recorded ones.

    The recorded checkout and environment are gone, and so is what the recorded server wrote.
    """
    a, b = tmp_path / "a" / "shop", tmp_path / "elsewhere" / "b"
    checkout(a)
    python = installation(tmp_path / "one")
    how = ("--scenario", "load.py", "-c2", "-n2", "--run", "tests/run")
    recorded = call(python, a, "record", "serve.py", *how)
    assert recorded.returncode == 0, recorded.stderr
    checkout(b)
    shutil.move(a / "tests", b / "tests")
    shutil.rmtree(a)
    (tmp_path / "one").rename(tmp_path / "two")
    os.utime(b / "data.txt", (1, 1))
    verified = call(tmp_path / "two" / "bin" / "python3", b, "verify", "tests/run")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "IDENTICAL  All 28 answers" in verified.stdout
    assert not (b / "written.txt").exists()  # the replay wrote nothing


@pytest.mark.parametrize("target", [("serve.py", "--scenario", "load.py"), ()], ids=["own", "demo"])
def test_an_installation_of_another_shape(tmp_path: Path, target: tuple[str, ...]) -> None:
    """Recorded where loadgen is among the server's packages, and verified where it is not.

    Then by the same loadgen, with a server's environment of which it is no longer a part.
    """
    one = checkout(tmp_path / "one")
    python = installation(tmp_path / "installed")
    recorded = call(python, one.path, "record", *target, "-c2", "-n2")
    assert recorded.returncode == 0, recorded.stderr
    again = [(python, "--python", sys.executable)] if target else []
    for verify, *options in ((sys.executable,), *again):
        verified = call(Path(verify), one.path, "verify", *map(str, options))
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_code_of_the_checkout_above_the_run_is_what_is_verified(tmp_path: Path) -> None:
    """With both checkouts there, a run in the second verifies the code of the second, and names its file."""
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other")
    one.record(str(one.path / "serve.py"), visiting("/page"), concurrency=1, iterations=2)
    (one.path / "run").rename(other.path / "run")
    other.script("def greet():\n    return 'good day'\n", "greeting.py")
    verified = call(Path(sys.executable), tmp_path, "verify", "other/run")
    assert verified.returncode == 1, verified.stdout + verified.stderr
    assert f"{other.path}/greeting.py" in "".join(verified.stdout.split())
    again = call(Path(sys.executable), tmp_path, "verify", "other/run", "--checkout", "one")
    assert again.returncode == 0, again.stdout + again.stderr


def test_an_application_that_is_nowhere(tmp_path: Path) -> None:
    """Where its code is not to be found, nothing is judged, and the message says what to do."""
    one = checkout(tmp_path / "one")
    one.record(str(one.path / "serve.py"), visiting("/page"), concurrency=1, iterations=1)
    (one.path / "run").rename(tmp_path / "run")
    shutil.rmtree(one.path)
    verified = call(Path(sys.executable), tmp_path, "verify", "run")
    assert verified.returncode == 3
    assert "is not here" in verified.stderr
    assert "--checkout DIR" in verified.stderr
