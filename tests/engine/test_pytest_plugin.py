"""The pytest plug-in for real: recordings pass and fail as tests, under xdist too, and tests are recorded."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from loadgen.store.run_folder import RunFolder
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]
pytest_plugins = ["pytester"]
PLUGIN = ("-p", "no:loadgen", "-p", "loadgen.pytest_plugin", "-p", "no:cacheprovider", "-W", "error")
SERVER = """
    from flask import Flask, jsonify
    app = Flask(__name__)

    @app.get("/state")
    def state():
        return jsonify(state="ok")
"""
TEST = """
    import urllib.request

    def test_state(loadgen_record):
        with loadgen_record("shop:app", run="recordings/state", tags=["smoke"]) as session:
            for _ in range(3):
                with urllib.request.urlopen(session.url + "/state") as answer:
                    assert answer.status == 200
        assert session.run.joinpath("run.json").is_file()

    def test_broken(loadgen_record):
        with loadgen_record("shop:nosuch"):
            raise NotImplementedError
"""


def test_recordings_are_tests(pytester: pytest.Pytester, recorded_once: Path) -> None:
    """Under xdist: the identical run passes, the run of changed code fails with its cause."""
    bench = Bench(pytester.path / "recordings")
    bench.path.mkdir()
    shutil.copytree(recorded_once, bench.path / "good")
    script = bench.script(SERVER + "\n    app.run()\n", "serve.py")
    bench.record(script, visiting("/state"), concurrency=1, iterations=2, run="bad")
    bench.script(SERVER.replace('"ok"', '"fine"') + "\n    app.run()\n", "serve.py")
    result = pytester.runpytest_subprocess(*PLUGIN, "--loadgen", "recordings", "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    said = result.stdout.str()
    assert 'body $.state was "ok" and is "fine"' in said
    assert "at fault: the application" in said
    assert "if the new answers are wanted: loadgen accept" in said


def test_a_test_is_recorded(pytester: pytest.Pytester) -> None:
    """What it sends through the gateway is a run, which the next pytest verifies; a failed start is told."""
    Bench(pytester.path).script(SERVER, "shop.py")
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=1, failed=1)
    assert "shop:nosuch could not be recorded" in result.stdout.str()
    _, manifest = RunFolder.open(pytester.path / "recordings" / "state")
    assert (manifest.requests, manifest.spec.label.name) == (3, "test_state")
    again = pytester.runpytest_subprocess(*PLUGIN, "--loadgen", "recordings", "-m", "smoke")
    again.assert_outcomes(passed=1, deselected=2)
