"""The first steps with a server: ``loadgen init``, ``loadgen doctor``, and the tutorial, to the letter."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.once]

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
SHOP = """
from flask import Flask
def create_app(name="shop"):
    app = Flask(__name__)
    @app.get("/")
    def home(): return name
    @app.get("/items")
    def items(): return {"items": []}
    @app.get("/items/<int:number>")
    def item(number): return {}
    return app
"""


def loadgen(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_init(tmp_path: Path) -> None:
    """It writes what ``loadgen record`` needs without any option, and replaces nothing unless told so."""
    (tmp_path / "broken.py").write_text("from flask import Flask\napp = Flask(__name__)\nraise SystemExit(3)")
    (tmp_path / "shop.py").write_text(SHOP)
    made = loadgen(tmp_path, "init")
    assert made.returncode == 0, made.stderr
    assert "not used  broken:app" in made.stdout
    assert "4 requests recorded and replayed: identical" in made.stdout
    configured = tomllib.loads((tmp_path / "loadgen.toml").read_text())
    assert configured == {"record": {"target": "shop:create_app", "scenario": "load.py"}}
    assert (tmp_path / "load.py").read_text().count("user.http.get(") == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"loadgen.toml", "load.py"}
    assert not (tmp_path / "runs").exists()
    assert loadgen(tmp_path, "record", "-n", "1", "-c", "2").returncode == 0
    assert loadgen(tmp_path, "verify").returncode == 0
    again = loadgen(tmp_path, "init")
    assert (again.returncode, "init --force" in again.stderr) == (2, True)
    examined = loadgen(tmp_path, "doctor")
    assert examined.returncode == 0, examined.stdout
    assert "it starts under the engine, and can be recorded; 2 paths" in examined.stdout


def test_a_package_below_src_that_needs_a_variable(tmp_path: Path) -> None:
    """The configuration names the folder and the variable, and every later command starts from it."""
    package = tmp_path / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"import os\nfrom shop.names import NAME\nos.environ['SHOP_KEY']\n{SHOP}"
    )
    (package / "names.py").write_text("NAME = 'shop'")
    (tmp_path / "another_shop.py").write_text("def create_app(): ...")
    refused = loadgen(tmp_path, "init")
    assert refused.returncode == 3
    assert "KeyError: 'SHOP_KEY'" in refused.stderr
    assert "--server-env NAME" in refused.stderr
    assert "importlib" not in refused.stderr
    examined = loadgen(tmp_path, "doctor", "--server-env", "SHOP_KEY=1")
    assert examined.returncode == 0, examined.stdout
    assert "also found: another_shop:create_app" in examined.stdout
    made = loadgen(tmp_path, "init", "--server-env", "SHOP_KEY=1")
    assert made.returncode == 0, made.stderr
    assert "also here another_shop:create_app" in made.stdout
    configured = tomllib.loads((tmp_path / "loadgen.toml").read_text())["record"]
    assert configured == {
        "target": "shop:create_app", "cwd": "src", "server-env": ["SHOP_KEY=1"], "scenario": "load.py"
    }  # fmt: skip
    for command in (("record", "-n", "1"), ("verify",), ("doctor",)):
        assert loadgen(tmp_path, *command).returncode == 0, command


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "no application was found"),
        ("def (:", "no application was found in this folder\n  shop.py, line 1: invalid syntax"),
        ("from flask import Flask\napp = Flask(__name__)\nimport gone", "No module named 'gone'"),
    ],
)
def test_nothing_to_start(tmp_path: Path, source: str, says: str) -> None:
    """The message says what was found, and nothing is written; doctor says the same of a server."""
    (tmp_path / "shop.py").write_text(source)
    made = loadgen(tmp_path, "init")
    assert (made.returncode, says in made.stderr) == (3, True), made.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["shop.py"]


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    """A server that cannot be recorded is reported with its reason."""
    (tmp_path / "shop.py").write_text("def app(config, debug): ...")
    examined = loadgen(tmp_path, "doctor", "shop:app")
    assert examined.returncode == 3
    assert re.search("missing .*shop:app .* is neither a WSGI application", examined.stdout)
    (log,) = re.findall(r"See (\S+server\.log)\.", examined.stdout)
    assert Path(log).is_file()
    shutil.rmtree(Path(log).parents[1])
    nothing = loadgen(tmp_path, "doctor", "--python", "nowhere", "shop:app")
    assert (nothing.returncode, "there is no Python at nowhere" in nothing.stdout) == (3, True)


def test_the_tutorial(tmp_path: Path) -> None:
    """Every file and command of the page, in its order; each printed line begins as the page says."""
    blocks = re.findall(r"```(python|console)\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    assert len(blocks) > 5
    for kind, block in blocks:
        if kind == "python":
            name, _, source = block.partition("\n")
            (tmp_path / name.removeprefix("# ")).write_text(source)
            continue
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for one in commands:
            command, *printed = one.splitlines()
            words = shlex.split(command)
            assert words[0] == "loadgen"
            done = loadgen(tmp_path, *words[1:])
            shown = done.stdout + done.stderr
            for line in printed:
                begin = re.split(r"  | —|. The first", line)[0].strip()  # the rest is of this run
                if line[:1].strip() and begin != "...":
                    assert re.search(rf"^\s*{re.escape(begin)}", shown, re.MULTILINE), (command, begin, shown)
