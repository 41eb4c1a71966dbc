"""Planted faults: the first cause that a verdict names is the right one."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Fault, Judgement
from loadgen.store.run_folder import RunFolder
from loadgen.verify import conclude
from tests.engine.conftest import Bench, visiting
from tests.engine.test_command_line import servers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.verdict import Verdict

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import os, sqlite3, sys, threading, time
    from contextlib import closing
    from flask import Flask, jsonify

    app = Flask(__name__)
    sys.setswitchinterval(1e-6)
    state = {"n": 0, "ids": 0}
    lock = threading.Lock()

    @app.get("/race")
    def race():
        n = state["n"]
        for _ in range(3000):
            pass
        state["n"] = n + 1
        return jsonify(n=n + 1, at=time.time())

    @app.get("/address")
    def address():
        return jsonify(where=id(object()) ^ os.getpid() ^ hash(open), at=time.time())

    @app.get("/created")
    def created():
        with lock:
            state["ids"] += 1
            return jsonify(id=state["ids"], at=time.time())

    @app.get("/listed")
    def listed():
        with lock:
            return jsonify(rows=[{"id": state["ids"]}], at=time.time())

    if __name__ == "__main__":
        app.run()
"""


def concluded(bench: Bench, replays: int) -> Verdict:
    """Verify some times, and conclude."""
    _, manifest = RunFolder.open(bench.path / "run")
    return conclude(manifest, [bench.verify(timeout=5) for _ in range(replays)]).verdict


def test_race_in_the_application(bench: Bench) -> None:
    """A counter without a lock: one field differs in some answers, and the application is named."""
    plan = visiting(*["/race"] * 5)
    bench.record(bench.script(SERVER), plan, concurrency=8, iterations=6, schedule="parallel")
    verdict = concluded(bench, 3)
    assert verdict.judgement is Judgement.DIVERGED
    cause = verdict.causes[0]
    assert (cause.fault, cause.first.differences[0].field) == (Fault.APPLICATION, "body:$.n")
    assert "race" in cause.why + cause.advice


def test_address_in_an_answer(bench: Bench) -> None:
    """An address differs in every replay, each time otherwise: nondeterminism of the application."""
    bench.record(bench.script(SERVER), visiting("/address", "/created"), concurrency=2, iterations=4)
    verdict = concluded(bench, 3)
    (cause,) = verdict.causes
    assert (cause.fault, cause.first.target) == (Fault.APPLICATION, "/address")
    assert "differs in each of 3 replays" in cause.why


def test_off_by_one_cascade(bench: Bench) -> None:
    """Changed code that starts to count at another number is one cause, headed by its first request."""
    bench.record(bench.script(SERVER), visiting("/created", "/listed"), concurrency=4, iterations=8)
    bench.script(SERVER.replace('"ids": 0', '"ids": 1'))
    verdict = concluded(bench, 1)
    assert verdict.diverged == 64
    (cause,) = verdict.causes
    assert (cause.fault, cause.count) == (Fault.APPLICATION, 64)
    assert cause.first.position == 0
    assert "changed after the recording" in cause.why
    assert "serve.py" in cause.why


def test_engine_crash(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A replay process that dies is the engine's, and nothing is blamed on the application."""
    run = copied()

    def kill() -> None:
        transcript = run.path / "verify" / "1" / "transcript.jsonl"
        while not transcript.exists() or transcript.read_text().count("response") < 20:
            time.sleep(0.002)
        for pid in servers_of(run.path):
            os.kill(pid, signal.SIGSEGV)

    killer = threading.Thread(target=kill)
    killer.start()
    verdict = concluded(bench, 1)
    killer.join()
    assert verdict.judgement is Judgement.UNDETERMINED
    assert verdict.reasons[0].fault == "engine"
    assert "SIGSEGV" in verdict.reasons[0].message
    assert not verdict.causes


def test_truncated_recording(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A truncated recording is the recording's."""
    run = copied()
    run.recording.write_bytes(run.recording.read_bytes()[:-1000])
    verdict = concluded(bench, 1)
    assert verdict.judgement is Judgement.UNDETERMINED
    assert [reason.fault for reason in verdict.reasons] == ["recording"]


def test_harness_time_out(bench: Bench, copied: Callable[[], RunFolder]) -> None:
    """A limit of the verifier's that is too short for the machine is the harness's, and says what to do."""
    copied()
    verdict = bench.verify(timeout=0.0001).verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert verdict.reasons[0].fault == "harness"
    assert "--timeout" in verdict.reasons[0].advice
