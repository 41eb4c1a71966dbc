"""Suites for real: many runs are verified side by side, and none of them ends the others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_folder_of_runs_is_verified(tmp_path: Path, recorded_once: Path) -> None:
    """Good, altered, damaged and foreign runs: each has its row, and the exit code is that of the worst."""
    runs = tmp_path / "recordings"
    for name in ("one", "two"):
        shutil.copytree(recorded_once, runs / name, ignore=shutil.ignore_patterns("verify"))
    good = call(tmp_path, "verify", "recordings", "--jobs", "2")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "2 runs: 2 identical." in good.stdout

    with (runs / "two" / "recording.bin").open("ab") as tape:
        tape.write(b"\0")
    (runs / "torn").mkdir()
    (runs / "torn" / "run.json").write_text("{")
    (runs / "foreign").mkdir()
    files = ("--junit", "junit.xml", "--summary", "summary.md", "--html", "index.html")
    bad = call(tmp_path, "verify", "recordings", *files)
    assert bad.returncode == 3, bad.stdout + bad.stderr
    assert "Traceback" not in bad.stderr
    assert "4 runs: 1 identical, 3 undetermined." in bad.stdout
    suite = ET.fromstring((tmp_path / "junit.xml").read_text())[0]
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("4", "3", "0")
    assert "4 runs" in (tmp_path / "summary.md").read_text()
    assert 'href="recordings/one/report.html"' in (tmp_path / "index.html").read_text()
    assert (runs / "one" / "report.html").is_file()

    listed = json.loads(call(tmp_path, "runs", "recordings", "--json").stdout)
    verdicts = {one["run"]: one.get("verdict", "not read") for one in listed}
    assert verdicts == {"one": "identical", "two": "undetermined", "torn": "not read", "foreign": "not read"}
