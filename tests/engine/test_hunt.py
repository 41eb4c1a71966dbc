"""A hunt: the example's planted fault is found by stress, shrunk, and shown again, all by the commands.

Here the window in which it strikes is held open, so that a few trials are enough; examples/rare_fault/hunt.sh
runs it as rare as it is.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from tests.engine.test_command_line import run, start, wait_for_requests

pytestmark = [pytest.mark.engine, pytest.mark.once]
EXAMPLE = Path(__file__).parents[2] / "examples" / "rare_fault"


def test_found_shrunk_and_shown(tmp_path: Path) -> None:
    """From a session of dozens of requests to at most six that still fail, in about half of their runs."""
    shutil.copy(EXAMPLE / "customers.py", tmp_path)
    planted = (EXAMPLE / "serve.py").read_text()
    held = planted.replace("    try:\n", "    try:\n        __import__('time').sleep(0.1)\n", 1)
    assert held != planted
    (tmp_path / "serve.py").write_text(held)

    load = ("-c", "3", "-n", "4", "--seeds", "1..9", "--scenario", "customers.py")
    code, out, err = run(
        tmp_path, "stress", *load, "--until-failure", "--folder", "hunt", "--json", "--jobs", "2", "serve.py"
    )
    assert code == 1, err
    summary = json.loads(out)
    assert summary["diverged"] >= 1
    assert summary["causes"][0]["what"] == "POST /items/N/reserve: body:$.ticket differs"
    failing = next(one for one in summary["failures"] if one["judgement"] == "diverged")
    assert (tmp_path / failing["run"] / "report.html").exists()
    page = (tmp_path / "hunt" / "report.html").read_text()
    assert f'href="trials/{failing["trial"]}/run/report.html"' in page

    # The first candidate is tried however slow the machine is, and is small: it is what met.
    budget = ("--time-budget", "15s", "--confirm", "6", "--jobs", "2")
    with start(tmp_path, "shrink", "hunt", "--output", "shrunk", "--json", *budget) as shrink:
        out, err = shrink.communicate(timeout=1800)
    assert shrink.returncode == 0, err
    shrunk = json.loads(out)
    assert shrunk["after"]["requests"] <= 6
    assert 2 <= shrunk["after"]["users"] <= 3
    assert 1 <= shrunk["failures"] <= shrunk["trials"] == 6
    assert shrunk["fault"] == "application"
    codes = list[int]()
    for again in range(10):  # it fails in about half of its runs
        if 1 in codes:
            break
        record, verify = map(shlex.split, shrunk["commands"])
        assert record[0] == verify[0] == "loadgen"
        code, _, err = run(tmp_path / "shrunk", *record[1:], "--run", f"again-{again}")
        assert code in {0, 3}, err
        codes.append(run(tmp_path / "shrunk", *verify[1:], f"again-{again}")[0])
    assert 1 in codes


def test_interrupted_it_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C ends a hunt after what is under way; the command that it names makes the rest."""
    load = ("-c", "2", "-n", "2", "--seeds", "1..3", "--jobs", "1")
    with start(tmp_path, "stress", *load, "--folder", "hunt") as hunt:
        wait_for_requests(tmp_path / "hunt" / "trials" / "c2-s1" / "run", 1)
        hunt.send_signal(signal.SIGINT)
        _, err = hunt.communicate(timeout=120)
    assert hunt.returncode == 130
    command = next(line for line in err.splitlines() if "Go on with: " in line).partition("Go on with: ")[2]
    code, out, err = run(tmp_path, *shlex.split(command)[1:], "--json")
    assert code == 0, err
    assert json.loads(out)["identical"] == 3
    lines = (tmp_path / "hunt" / "trials.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["trial"] for line in lines) == ["c2-s1", "c2-s2", "c2-s3"]
