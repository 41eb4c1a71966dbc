"""``loadgen hazards`` with the real engine: hazards of each outcome have the published result."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.engine.test_command_line import run, start

pytestmark = [pytest.mark.engine, pytest.mark.once]
PUBLISHED = Path(__file__).parents[2] / "docs" / "hazards.json"
SOME = ("uuid4", "imported_secret", "object_id")
"""Of each outcome, at least one that comes out in every run as it does in any."""


def test_as_published(tmp_path: Path) -> None:
    """Some hazards are measured as they are published: replayed, closed by loadgen, inherent."""
    published = {row["name"]: row["whose"] for row in json.loads(PUBLISHED.read_text())["hazards"]}
    options = ("--requests", "16", "--json", "--expect", str(PUBLISHED), "--folder", "kept")
    with start(tmp_path, "hazards", "--only", ",".join(SOME), *options) as process:
        out, err = process.communicate(timeout=600)  # each of them is recorded and verified six times
    assert (process.returncode, err) == (0, "")
    measured = {row["name"]: row["whose"] for row in json.loads(out)["hazards"]}
    assert measured == {name: published[name] for name in measured}
    assert set(measured) == set(SOME)
    assert set(measured.values()) >= {"replayed", "closed", "inherent"}
    assert json.loads((tmp_path / "kept" / "hazards.json").read_text()) == json.loads(out)
    assert any((tmp_path / "kept").glob("object_id-*/run/verify/1/verdict.json"))
    failed = {path.name.split("-")[0] for path in (tmp_path / "kept").glob("*-turns-*")}
    assert failed == {"object_id"}


def test_a_contradiction_is_exit_code_1(tmp_path: Path) -> None:
    """What is measured otherwise than expected is said, and the table is printed all the same."""
    saved = json.loads(PUBLISHED.read_text())
    [one] = [row for row in saved["hazards"] if row["name"] == "uuid4"]
    one["cells"]["turns"]["1"] |= {"failed": one["cells"]["turns"]["1"]["runs"]}
    (tmp_path / "expected.json").write_text(json.dumps(saved))
    options = ("--setups", "turns", "-c", "1", "--requests", "4", "--expect", "expected.json")
    code, out, err = run(tmp_path, "hazards", "--only", "uuid4", *options)
    assert code == 1
    assert re.search(r"^uuid4 +=", out, re.MULTILINE)
    assert err == "not as expected: uuid4, turns, 1 at a time: none of 1 runs failed, all expected to\n"


def test_the_engine_alone(tmp_path: Path) -> None:
    """A run without loadgen's help says so: in its manifest, its verdict, and to whoever reads that."""
    engine_alone = ("--engine-alone", "--run", "run", "-n", "1")
    assert run(tmp_path, "record", *engine_alone, "-c", "1")[0] == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["engine_alone"] is True
    code, out, _ = run(tmp_path, "verify", "run")
    assert code == 0
    assert "replayed  by the engine alone, without loadgen's workarounds" in out
    verdict = json.loads((tmp_path / "run" / "verify" / "1" / "verdict.json").read_text())
    assert verdict["engine_alone"] is True


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C finishes the runs under way, and prints what was measured until then."""
    with start(tmp_path, "hazards", "--requests", "8", "--folder", "kept", "--json", "-j", "1") as process:
        while not (tmp_path / "kept" / "hazards.json").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    runs = [
        cell["runs"]
        for row in json.loads(out)["hazards"]
        for at in row["cells"].values()
        for cell in at.values()
    ]
    assert 0 < sum(runs) < 10
