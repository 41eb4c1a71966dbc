"""Applications that others wrote, from the package index: recorded at concurrency 8 and replayed.

Not part of the check command, because it installs each application with all it needs; run it with
``pytest -m third_party tests/third_party``. What came out is in ``docs/third-party.md``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.third_party

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
LUTE = """
ENV: prod
DBNAME: lute.db
DATAPATH: {data}
"""


@dataclass(frozen=True)
class Application:
    """How an application is installed and started; ``{data}`` is a folder that a replay does not have."""

    package: str
    """What is installed; more than one, separated by spaces."""
    target: tuple[str, ...]
    scenario: str
    iterations: int
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    prepare: tuple[str, ...] = ()
    """Lines of a shell that make its data, with its programs at hand."""


BEPASTY = """
SECRET_KEY = "key"
STORAGE = "filesystem"
STORAGE_FILESYSTEM_DIRECTORY = "{data}"
DEFAULT_PERMISSIONS = "create,read,delete,list,modify"
"""
ISSO = """
[general]
dbpath = {data}/comments.db
host = http://localhost:8080/
[server]
listen = http://localhost:8080
[guard]
enabled = false
"""
LEDGER = """
option "title" "Example"
option "operating_currency" "EUR"
2026-01-01 open Assets:Cash
2026-01-01 open Expenses:Food
2026-01-02 * "Shop" "Bread"
  Expenses:Food   3.50 EUR
  Assets:Cash
"""
RADICALE = """
[auth]
type = none
[storage]
filesystem_folder = {data}
[rights]
type = authenticated
"""
SUPYSONIC = """
[base]
database_uri = sqlite:///{data}/s.db
[webapp]
cache_dir = {data}/cache
"""
APPLICATIONS = (
    Application("httpbin", ("httpbin:app",), "httpbin_scenario.py", 2),
    Application("moto[server]", ("--", "moto_server", "-p", "5555"), "moto_scenario.py", 2),
    Application(
        "isso",
        ("--", "isso", "-c", "isso.cfg", "run"),
        "isso_scenario.py",
        3,
        files=(("isso.cfg", ISSO),),
    ),
    Application(
        "bepasty",
        ("bepasty.wsgi:application",),
        "bepasty_scenario.py",
        3,
        (("BEPASTY_CONFIG", "{here}/bepasty.conf"),),
        (("bepasty.conf", BEPASTY),),
    ),
    Application("updog", ("--", "updog", "-d", "{data}", "-p", "9090"), "updog_scenario.py", 3),
    Application(
        "fava",
        ("fava.application:create_app(['{data}/ledger.beancount'], poll_watcher=True)",),
        "fava_scenario.py",
        2,
        files=(("data/ledger.beancount", LEDGER),),
    ),
    Application(
        "flaskcode",
        ("--", "flaskcode", "{data}", "-p", "5001"),
        "flaskcode_scenario.py",
        3,
        files=(("data/a.txt", "one"),),
    ),
    Application(
        "klaus",
        ("--", "klaus", "--port", "8080", "{data}/repo"),
        "klaus_scenario.py",
        2,
        prepare=(
            "git init -q {data}/repo",
            "cd {data}/repo; echo 1 > a.txt; git add a.txt",
            "cd {data}/repo; git -c user.name=n -c user.email=a@b commit -qm first",
        ),
    ),
    Application(
        "supysonic",
        ("supysonic.web:create_application",),
        "supysonic_scenario.py",
        2,
        files=(("supysonic.conf", SUPYSONIC),),
        prepare=("supysonic-cli user add alice -p word",),
    ),
    Application(
        "pypiserver",
        ("--", "pypi-server", "run", "--server", "wsgiref", "-p", "8080", "-a", ".", "-P", ".", "{data}"),
        "pypiserver_scenario.py",
        3,
        files=(("data/some-1.0.tar.gz", "content"),),
    ),
    Application(
        "radicale waitress",
        ("--", "waitress-serve", "radicale:application"),
        "radicale_scenario.py",
        2,
        (("RADICALE_CONFIG", "{here}/radicale.conf"),),
        (("radicale.conf", RADICALE),),
    ),
    Application(
        "ihatemoney",
        ("ihatemoney.run:create_app",),
        "ihatemoney_scenario.py",
        1,
        (("IHATEMONEY_SETTINGS_FILE_PATH", str(HERE / "ihatemoney_settings.py")),),
    ),
    Application(
        "sqlite-web", ("--", "sqlite_web", "--no-browser", "{data}/some.db"), "sqlite_web_scenario.py", 3
    ),
    Application("pandas matplotlib", (str(HERE / "numerical_server.py"),), "numerical_scenario.py", 2),
    Application(
        "lute3",
        ("--", "python", "-m", "lute.main", "--local", "--config", "lute.yml"),
        "lute_scenario.py",
        2,
        files=(("lute.yml", LUTE),),
    ),
)


@pytest.fixture(scope="session", params=APPLICATIONS, ids=lambda one: one.package)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Application, Path]:
    """Install an application beside loadgen, in an environment of its own."""
    application: Application = request.param
    venv = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    install = [str(venv / "bin" / "pip"), "install", "--quiet", str(REPOSITORY), *application.package.split()]
    subprocess.run(install, check=True)
    return application, venv / "bin"


@pytest.mark.parametrize("seed", range(1, 6))
def test_identical(installed: tuple[Application, Path], tmp_path: Path, seed: int) -> None:
    """Every answer is the same, though the data that the application had is gone."""
    application, programs = installed
    data = tmp_path / "data"
    data.mkdir()
    for name, content in application.files:
        (tmp_path / name).write_text(content.format(data=data))
    given = {name: value.format(here=tmp_path) for name, value in application.environment}
    environment = {**os.environ, **given, "PATH": f"{programs}:{os.environ['PATH']}"}
    for line in application.prepare:
        subprocess.run(line.format(data=data), shell=True, cwd=tmp_path, env=environment, check=True)
    target = [part.format(data=data) for part in application.target]
    named = [part for name in given for part in ("--server-env", name)]
    plan = ("--scenario", str(HERE / application.scenario), "-c", "8", "-n", str(application.iterations))

    def loadgen(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "loadgen", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    recorded = loadgen("record", "--run", "run", "--seed", str(seed), *plan, *named, *target)
    # An application may fail under load by itself ("database is locked"): that is recorded, and must replay.
    assert recorded.returncode in (0, 3), recorded.stdout + recorded.stderr
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["result"]["state"] == "complete"
    shutil.rmtree(data)
    verified = loadgen("verify", "run", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    verdict = json.loads(verified.stdout)
    assert verdict["compared"] == verdict["requests"] > 50
