"""A trial: the user's commands in separate processes, and their results."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.cli.main import record_spec, verify_spec
from loadgen.core.verdict import Judgement
from loadgen.errors import UsageError
from loadgen.hunt.trial import TrialPlan, TrialResult, run
from loadgen.hunt.workers import Workers
from tests.engine.test_command_line import gone, servers_of, wait_for_requests

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]
SMALL = ("-c", "2", "-n", "2")


def tried(folder: Path, *record: str, verify: tuple[str, ...] = (), limit: float = 120) -> TrialResult:
    """Run one trial, of what the words of the two commands say."""
    plan = TrialPlan(record_spec(record), verify_spec(verify))

    async def work() -> TrialResult:
        async with Workers() as workers:
            return await run(plan, folder, workers, limit=limit)

    return anyio.run(work)


def script(path: Path, source: str) -> str:
    """Write a server of the walkthrough's shape and return its path."""
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return str(path)


def test_identical(tmp_path: Path) -> None:
    """What two commands do by hand, one call does; its result survives JSON."""
    result = tried(tmp_path / "trial", *SMALL, "--seed", "3")
    assert (result.judgement, result.record_code, result.verify_code) == (Judgement.IDENTICAL, 0, 0)
    assert (result.requests, result.diverged, result.message, result.causes) == (20, 0, "", ())
    assert result.command == "loadgen record --concurrency 2 --iterations 2 --seed 3; loadgen verify"
    assert result.sessions is not None
    assert TrialResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert (tmp_path / "trial" / "run" / "verify" / "1" / "verdict.json").exists()


def test_diverged(tmp_path: Path) -> None:
    """Causes come from the verdict, told so that the same one is the same in other trials."""
    serve = script(
        tmp_path / "serve.py",
        """
        from flask import Flask
        app = Flask(__name__)
        kept = []

        @app.route("/api/users", methods=["GET", "POST"])
        def users():
            kept.append(object())
            return {"id": 1, "token": id(kept[-1])}, 201

        app.run()
        """,
    )
    result = tried(tmp_path / "trial", serve, *SMALL, verify=("--replays", "2"))
    assert (result.judgement, result.verify_code) == (Judgement.DIVERGED, 1)
    cause = result.causes[0]
    # An address may by chance be the recorded one: which of the two comes first is not fixed.
    assert cause.kind in {f"{method} /api/users: body:$.token differs" for method in ("POST", "GET")}
    assert cause.fault == "application"
    assert result.message == cause.headline
    assert result.diverged >= 4
    assert result.command.endswith("; loadgen verify --replays 2")


def test_a_failed_recording_is_undetermined(tmp_path: Path) -> None:
    """A server that does not start, and one that does not come to its end in time, are told in words."""
    serve = script(tmp_path / "serve.py", "raise SystemExit('no such luck')")
    result = tried(tmp_path / "dies", serve, *SMALL)
    assert (result.judgement, result.record_code, result.verify_code) == (Judgement.UNDETERMINED, 3, None)
    assert "no such luck" in result.causes[0].why
    slow = script(tmp_path / "slow.py", "import time; time.sleep(600)")
    result = tried(tmp_path / "slow", slow, *SMALL, limit=2)
    assert (result.judgement, result.record_code) == (Judgement.UNDETERMINED, None)
    assert "interrupted" in result.message or "took longer than" in result.message
    assert not servers_of(tmp_path / "slow" / "run")


def test_arguments_that_are_refused_are_no_result(tmp_path: Path) -> None:
    """What would befall every trial is the caller's to hear, in the command's own words."""
    with pytest.raises(UsageError, match=r"the script nosuch\.py does not exist"):
        tried(tmp_path / "trial", "nosuch.py")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(tmp_path: Path, how: signal.Signals) -> None:
    """Cancelled or killed, whoever ran the trial leaves neither command nor server behind."""
    trial = str(tmp_path / "trial")
    program = f"""
        import anyio, signal, pathlib
        from loadgen.core.spec import Load, RunSpec
        from loadgen.hunt.trial import TrialPlan, run
        from loadgen.hunt.workers import Workers

        async def main():
            async with Workers() as workers, anyio.create_task_group() as group:
                plan = TrialPlan(RunSpec(load=Load(concurrency=2, iterations=100000)))
                group.start_soon(run, plan, pathlib.Path({trial!r}), workers)
                with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                    async for _ in signals:
                        group.cancel_scope.cancel()

        anyio.run(main)
        """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as runner:
        wait_for_requests(tmp_path / "trial" / "run", 20)
        runner.send_signal(how)
        runner.wait(60)
    assert gone(tmp_path / "trial" / "run", within=60)
