"""Virtual users divided among client processes: one journal, one order, the same requests of each user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]

SCENARIO = """
import os, signal
from loadgen import scenario

@scenario
async def visit(user):
    await user.http.get(f"/echo/{user.rng.randrange(10**6)}")
    await user.http.post("/echo/body", content=b"x" * user.rng.randrange(40_000))

@scenario
async def dies(user):
    await user.http.get("/echo/1")
    if user.id == 1:
        os.kill(os.getpid(), signal.SIGKILL)

@scenario
async def fails(user):
    answer = await user.http.get("/echo/1")
    user.say(f"user {user.id} is here")
    assert answer.status_code == 404, "it is there"
"""
SERVER = """
from flask import Flask, request
app = Flask(__name__)

@app.route("/echo/<what>", methods=["GET", "POST"])
def echo(what):
    return what.encode() + request.get_data()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "load.py").write_text(SCENARIO)
    (tmp_path / "shop.py").write_text(SERVER)
    return tmp_path


def loadgen(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadgen", *words]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=120)


def recorded(here: Path, run: str, *words: str) -> subprocess.CompletedProcess[str]:
    return loadgen(here, "record", "shop:app", "--run", run, *words)


def lines(here: Path, run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (here / run / "transcript.jsonl").read_text().splitlines()]


def by_user(here: Path, run: str) -> dict[int, list[tuple[str, str, str]]]:
    found = defaultdict(list)
    for line in lines(here, run):
        if line["event"] == "request":
            found[line["user"]].append((line["method"], line["target"], json.dumps(line["body"])))
    return found


def totals(here: Path, run: str) -> dict[str, Any]:
    told = json.loads((here / run / "run.json").read_text())["result"]["totals"]
    return {name: told[name] for name in ("requests", "statuses", "iterations")}


def test_one_order(here: Path) -> None:
    """Numbers and times rise together, and each user sends what it sends from a single process."""
    options = ("--scenario", "load.py:visit", "-c", "5", "-n", "8", "--seed", "7")
    done = recorded(here, "several", *options, "--client-processes", "3")
    assert done.returncode == 0, done.stderr
    assert recorded(here, "one", *options).returncode == 0
    happened = [one for one in lines(here, "several") if one["event"] in {"request", "response"}]
    times = [one["at"] for one in happened]
    assert times == sorted(times)
    assert [one["seq"] for one in happened if one["event"] == "request"] == list(range(1, 81))
    assert by_user(here, "several") == by_user(here, "one")
    results = [
        json.loads((here / run / "run.json").read_text())["result"]["totals"] for run in ("several", "one")
    ]
    several, one = ({name: told[name] for name in ("requests", "statuses", "iterations")} for told in results)
    assert several == one == {"requests": 80, "statuses": {"200": 80}, "iterations": 40}
    verified = loadgen(here, "verify", "several")
    assert verified.returncode == 0, verified.stdout
    assert "All 80 answers are the same" in verified.stdout


def test_a_rate_is_divided(here: Path) -> None:
    """All processes together begin as many iterations as are due."""
    options = ("-c", "4", "--rate", "40/s", "--duration", "2s", "--client-processes", "2")
    done = recorded(here, "run", "--scenario", "load.py:visit", *options)
    assert done.returncode == 0, done.stderr
    assert totals(here, "run") == {"requests": 160, "statuses": {"200": 160}, "iterations": 80}


def test_failures_are_told_together(here: Path) -> None:
    """Failed iterations of one line are one line, whatever process they were in; so is what users say."""
    done = recorded(
        here, "run", "--scenario", "load.py:fails", "-c", "4", "-n", "2", "--client-processes", "4"
    )
    assert done.returncode == 3
    assert "8 x load.py:fails: AssertionError: it is there" in done.stdout
    assert sorted(set(done.stderr.splitlines())) == [f"user {number} is here" for number in range(4)]


def test_a_process_that_dies(here: Path) -> None:
    """The recording fails, says which one died, and keeps what was recorded."""
    done = recorded(
        here, "run", "--scenario", "load.py:dies", "-c", "4", "-n", "50", "--client-processes", "2"
    )
    assert done.returncode == 3
    assert "client process 2 of 2 died: killed by SIGKILL" in done.stderr
    assert by_user(here, "run")[1]
    assert json.loads((here / "run" / "run.json").read_text())["result"]["state"] == "failed"


def test_stopped(here: Path) -> None:
    """Ctrl-C ends all processes, keeps what was recorded, and that can be verified."""
    command = ["record", "shop:app", "--run", "run", "--scenario", "load.py:visit", "-c", "4"]
    command += ["--duration", "1m", "--client-processes", "2"]
    with subprocess.Popen([sys.executable, "-m", "loadgen", *command], cwd=here, text=True) as process:
        transcript, deadline = here / "run" / "transcript.jsonl", time.monotonic() + 60
        while not (transcript.exists() and transcript.read_text().count('"response"') > 20):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    verified = loadgen(here, "verify", "run")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("options", [("--client", "true"), ("--trace", "client"), ("--listen", "0")])
def test_where_it_has_no_meaning(here: Path, options: tuple[str, ...]) -> None:
    """Clients of other kinds are one program, or many already."""
    done = recorded(here, "run", *options, "--client-processes", "2")
    assert done.returncode == 2
    assert "--client-processes" in done.stderr
    assert not (here / "run").exists()
