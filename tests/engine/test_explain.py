"""``verify --explain``: what each call of the first differing request got, and where it left the tape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.verdict import Judgement
from tests.engine.conftest import visiting
from tests.engine.test_command_line import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import random, time
    from flask import Flask, jsonify

    app = Flask(__name__)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def f(path):
        at = time.time()
        drawn = random.random()
        return jsonify(at=at, drawn=drawn, id=1, count=0), 201

    if __name__ == "__main__":
        app.run()
"""


@pytest.fixture
def explained(bench: Bench) -> Explained:
    """Return a function that records, changes one part of the code, and explains."""

    def explain(before: str, after: str) -> tuple[int, str, dict[str, Any]]:
        bench.script(SERVER)
        code, out, err = run(bench.path, "record", "serve.py", "--scenario", "mixed", "-c", "1", "-n", "2")
        assert code == 0, (out, err)
        bench.script(SERVER.replace(before, after))
        code, out, err = run(bench.path, "verify", "--explain")
        assert err == ""
        return code, out, json.loads(evidence(bench.path).read_text())

    return explain


if TYPE_CHECKING:
    from collections.abc import Callable

    Explained = Callable[[str, str], tuple[int, str, dict[str, Any]]]


def evidence(path: Path) -> Path:
    """Return the verdict on all replays."""
    return path / "runs" / "latest" / "verify" / "1" / "verdict.json"


def test_call_that_was_not_recorded(explained: Explained) -> None:
    """An added call gets nothing of what was recorded for the next one: the calls show it, one by one."""
    code, out, verdict = explained("drawn = random.random()", "time.monotonic(); drawn = random.random()")
    assert code == 1
    assert "results of its calls, from the recording" in out
    assert "where it left the tape" in out
    seen = verdict["call_log"]["logged"]
    own = [call for call in seen["calls"] if "serve.py" in call["at"][0]]
    assert ["time.time()" in own[0]["at"][0], "time.monotonic()" in own[1]["at"][0]] == [True, True]
    assert (float(own[0]["got"]) > 1, own[1]["got"]) == (True, ""), "another call gets nothing"
    assert verdict["call_log"]["seq"] == verdict["causes"][0]["first"]["seq"]
    assert f"request {verdict['call_log']['seq']}" in "\n".join(verdict["engine_log"]["lines"])
    assert len(verdict["replays"]) == 2


def test_call_that_is_missing(explained: Explained) -> None:
    """A request that ends too early: what the recording has further is told."""
    code, out, verdict = explained("drawn = random.random()", "drawn = at")
    assert code == 1
    assert "the request ended before its recording did" in out
    (further,) = verdict["call_log"]["logged"]["left_over"]
    assert 0 <= float(further) < 1


def test_other_answer_on_the_tape(explained: Explained) -> None:
    """An answer that differs though every step was taken: it did not leave the tape."""
    code, out, verdict = explained("id=1", "id=2")
    assert code == 1
    assert "it did not leave the tape" in out
    assert verdict["engine_log"] is None
    assert len(verdict["call_log"]["logged"]["calls"]) == 2


def test_nothing_to_explain(explained: Explained) -> None:
    """Where all is the same there is no further replay."""
    code, out, verdict = explained("id=1", "id=1")
    assert (code, len(verdict["replays"]), verdict["call_log"]) == (0, 1, None)
    assert "results of its calls" not in out


SWALLOWED = """
    import asyncio, time
    from flask import Flask

    app = Flask(__name__)

    async def asks():
        return time.time()

    async def both():
        return await asyncio.gather(asks(), asks(), return_exceptions=True)

    @app.get("/swallowed")
    def swallowed():
        return str(len(asyncio.run(both())))

    app.run()
"""


def test_the_first_difference_is_told_where_it_was_swallowed(bench: Bench) -> None:
    """A task keeps what is raised in it: what is reported is not that the request had left the tape."""
    bench.record(bench.script(SWALLOWED), visiting("/swallowed"), concurrency=1, iterations=1)
    bench.script(SWALLOWED.replace("time.time()", "time.monotonic()"))
    verdict = bench.verify(strict=True).verdict
    assert verdict.judgement is Judgement.DIVERGED
    evidence = str(verdict.divergences[0].evidence)
    assert "monotonic" in evidence, evidence
