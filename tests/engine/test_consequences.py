"""Consequences of a request that left the tape belong to its cause, and are never the engine's fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen import protocol
from loadgen.core.verdict import Fault, Judgement
from loadgen.store.run_folder import RunFolder
from loadgen.verify import conclude
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from loadgen.core.verdict import Verdict
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import os, sqlite3, threading, time
    from flask import Flask, jsonify

    app = Flask(__name__)
    lock = threading.Lock()
    shared = {}

    def connection():
        with lock:
            if "it" not in shared:
                shared["it"] = sqlite3.connect(os.environ["DB_FILE"], check_same_thread=False)
                shared["it"].execute("create table if not exists t (n)")
            return shared["it"]

    @app.get("/first")
    def first():
        at = 1
        return jsonify(rows=connection().execute("select count(*) from t").fetchall())

    @app.get("/second")
    def second():
        return jsonify(rows=connection().execute("select 2").fetchall(), at=time.time())

    @app.get("/third")
    def third():
        return jsonify(at=time.time())

    if __name__ == "__main__":
        app.run()
"""


def changed(bench: Bench, *, stacks: bool, concurrency: int) -> Verdict:
    """Record, change one statement of one handler, and verify."""
    plan = visiting("/first", "/second", "/third")
    bench.record(bench.script(SERVER), plan, concurrency=concurrency, iterations=3, stacks=stacks)
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
    bench.script(SERVER.replace("at = 1\n", "at = time.time()\n"))
    _, manifest = RunFolder.open(bench.path / "run")
    return conclude(manifest, [bench.verify()]).verdict


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("stacks", [False, True])
def test_one_changed_statement_is_one_cause(bench: Bench, *, stacks: bool, concurrency: int) -> None:
    """The request that would have made the shared connection leaves the tape: all that follows is its."""
    verdict = changed(bench, stacks=stacks, concurrency=concurrency)
    assert verdict.judgement is Judgement.DIVERGED
    (cause,) = (one for one in verdict.causes if one.first.left is not None)
    assert (cause.fault, cause.first.target) == (Fault.APPLICATION, "/first")
    assert cause.consequences
    departed = [one for one in verdict.divergences if one.left is not None]
    assert cause.count + cause.consequences == len(departed)
    assert {one.fault for one in verdict.causes} == {Fault.APPLICATION}
    assert "/third" not in {one.target for one in verdict.divergences}
    assert not {reason.fault for reason in verdict.reasons} & {Fault.ENGINE.value}
    if stacks:  # the tape says which object is missing, and whose it was
        lost = [one for one in verdict.divergences if one.code == protocol.LOST_OBJECT]
        assert {one.target for one in lost} == {"/second"}
        (maker,) = {one.follows for one in lost}  # whichever of the equal requests came first
        assert maker in {one.seq for one in departed if one.target == "/first"}
        assert len(verdict.causes) == 1
