"""Scenarios, load shapes and imported traffic: such recordings verify like any other run."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadgen.core.exchange import Request
from loadgen.core.pacing import Shape
from loadgen.core.transcript import FailedIteration
from loadgen.store.run_folder import RunFolder, read_transcript
from tests.engine.test_command_line import run

pytestmark = [pytest.mark.engine, pytest.mark.once]
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_scenario_at_an_arrival_rate(tmp_path: Path) -> None:
    """As many iterations as the schedule has, of both kinds, with both latencies; and the run verifies."""
    load = ("--rate", "20/s", "--duration", "2s", "--ramp-up", "1s", "-c", "8")
    code, out, err = run(tmp_path, "record", "--scenario", str(EXAMPLES / "blog.py"), *load)
    assert (code, err) == (0, ""), out
    assert "arrivals   30 iterations at 20/s; " in out
    _, manifest = RunFolder.open(tmp_path / "runs" / "latest")
    assert manifest.spec.traffic_name == "blog.py"
    assert (manifest.spec.load.iterations, manifest.spec.load.shape) == (None, Shape(2, 1, 20))
    totals = manifest.result.totals
    assert totals is not None
    assert totals.corrected_p99_ms is not None
    assert (totals.iterations, totals.failed_iterations, totals.requests) == (30, 0, 8 + 60)
    assert totals.corrected_p99_ms >= totals.p99_ms
    code, out, err = run(tmp_path, "verify")
    assert (code, err) == (0, ""), out
    assert out.startswith("IDENTICAL  All 68 answers")


def test_failed_assertions_are_recorded_and_the_run_verifies(tmp_path: Path) -> None:
    """A scenario that contradicts the server ends its iterations only: exit code 3, and a whole run."""
    (tmp_path / "wrong.py").write_text(
        "from loadgen import scenario\nprint('no result')\n@scenario(think=0.01)\nasync def look(user):\n"
        "    answer = await user.http.get('/api/users')\n    assert answer.json()['count'] == 7\n"
    )
    code, out, err = run(tmp_path, "record", "--scenario", "wrong.py:look", "-c", "4", "-n", "3")
    assert (code, err) == (3, "no result\n")
    assert "failed     12 of 12 iterations:" in out
    assert "12 x wrong.py:look: AssertionError: assert answer.json()['count'] == 7 (wrong.py, line 6)" in out
    latest = tmp_path / "runs" / "latest"
    with read_transcript(latest / "transcript.jsonl", latest / "bodies") as events:
        seen = list(events)
    failed = [event for event in seen if isinstance(event, FailedIteration)]
    assert sorted(one.seq for one in failed) == list(range(1, 13))
    assert {(one.user, one.iteration) for one in failed} == {(u, n) for u in range(4) for n in (1, 2, 3)}
    assert run(tmp_path, "verify")[0] == 0
    assert run(tmp_path, "report")[0] == 0


def test_the_example_list_of_curl_commands_and_an_exported_har(tmp_path: Path) -> None:
    """Curl commands are played; exported, they are played again by as many users, with the same requests."""
    code, out, err = run(tmp_path, "record", "--from", str(EXAMPLES / "calls.txt"), "-c", "3", "--run", "one")
    assert (code, err) == (0, ""), out
    assert "recorded   12 requests, 3 at a time" in out
    assert run(tmp_path, "verify", "one")[0] == 0
    assert run(tmp_path, "export", "one", "--har", "calls.har")[0] == 0
    code, out, err = run(tmp_path, "record", "--from", "calls.har", "--verbatim", "--run", "two")
    assert code == 0, out + err
    assert "3 requests with (masked)" in err, "the cookies, which an export masks"
    assert run(tmp_path, "verify", "two")[0] == 0

    def sent(name: str) -> list[list[tuple[str, str, bytes]]]:
        with read_transcript(tmp_path / name / "transcript.jsonl", tmp_path / name / "bodies") as events:
            found = [event for event in events if isinstance(event, Request)]
        return [[(r.method, r.target, r.body) for r in found if r.user == user] for user in range(3)]

    assert sent("one") == sent("two")
    assert '"Zoë O\'Hara"' in sent("one")[0][0][2].decode()
