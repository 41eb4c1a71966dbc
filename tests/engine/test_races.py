"""The search finds a planted race, replays it, and names its two lines; the fixed code holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.invariants import Unique
from loadgen.core.spec import Load, RunSpec, ScenarioTraffic
from loadgen.core.stop import Stop
from loadgen.errors import Undetermined
from loadgen.hunt.fleet import LocalFleet
from loadgen.hunt.races import narrowing
from loadgen.hunt.races.hunting import Setting, hunt
from loadgen.hunt.races.narrowing import Narrowing

if TYPE_CHECKING:
    from loadgen.hunt.races.hunting import Hunted
    from tests.engine.conftest import Bench

SERVER = """
    import os, threading
    from flask import Flask

    app, total, lock = Flask(__name__), 0, threading.Lock()

    @app.post("/racy")
    def racy():
        global total
        seen = total
        total = seen + 1
        return {"n": seen + 1}

    @app.post("/fixed")
    def fixed():
        global total
        with lock:
            seen = total
            total = seen + 1
        return {"n": seen + 1}

    @app.post("/fatal")
    def fatal():
        global total
        seen = total = total + 1
        if seen != total:
            os._exit(3)
        return {"n": seen}

    if __name__ == "__main__":
        app.run()
"""
SCENARIO = """
from loadgen import User, scenario

@scenario
async def go(user: User):
    await user.http.post("/{path}")
"""
LIMIT = 120.0


def setting(bench: Bench, path: str, trials: int) -> Setting:
    load = bench.path / "load.py"
    load.write_text(SCENARIO.replace("{path}", path), encoding="utf-8")
    spec = RunSpec(
        target=(bench.script(SERVER),),
        load=Load(concurrency=4, iterations=2),
        traffic=ScenarioTraffic(scenario=str(load)),
    )
    folder = bench.path / "hunt"
    folder.mkdir()
    return Setting(spec, (Unique("json:$.n"),), folder, LocalFleet(1), seconds=600, limit=LIMIT, most=trials)


def hunting(hunt_in: Setting) -> Hunted:
    async def work() -> Hunted:
        assert isinstance(hunt_in.fleet, LocalFleet)
        async with hunt_in.fleet:
            return await hunt(hunt_in, Stop(), lambda *_: None)

    return anyio.run(work)


@pytest.mark.engine
def test_a_lost_update_is_explained(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found within twenty trials, by an invariant; replays are identical; both lines are right."""
    monkeypatch.setattr(narrowing, "REPLAYS", 4)
    where = setting(bench, "racy", 20)
    hunted = hunting(where)
    assert hunted.found is not None
    assert hunted.spec is not None
    assert not hunted.without_race
    search = Narrowing(where, hunted.spec, hunted.found, Stop(), lambda line: None)
    narrowed = anyio.run(search.narrow)
    assert narrowed.repeats
    assert narrowed.replays == (4, 4)
    assert sorted(narrowed.tried.users) == sorted(narrowed.spec.load.only)
    assert narrowed.tried.requests == 2
    assert narrowed.pair is not None
    lines = [at.partition(" ")[0] for at in (narrowed.pair.at, narrowed.pair.after, narrowed.pair.ran)]
    assert lines == ["serve.py:11", "serve.py:10", "serve.py:10"]


@pytest.mark.engine
def test_what_is_locked_holds(bench: Bench) -> None:
    """Nothing is reported where there is nothing."""
    hunted = hunting(setting(bench, "fixed", 5))
    assert (hunted.found, hunted.failed, hunted.trials) == (None, 0, 6)


@pytest.mark.engine
def test_a_race_that_kills_the_server_is_found(bench: Bench) -> None:
    """Its recording is not complete, so it is reported as it is; it is no trial that held."""
    hunted = hunting(setting(bench, "fatal", 20))
    assert hunted.found is not None
    assert (hunted.found.is_complete, hunted.failed) == (False, 0)
    assert "the recorded server ended after" in hunted.found.broken[0].message
    assert "exit code 3" in hunted.found.broken[0].message


@pytest.mark.engine
def test_a_server_that_does_not_start_ends_the_search(bench: Bench) -> None:
    """It would fail in every trial: its error and the advice are told at once, and its log is kept."""
    where = setting(bench, "fixed", 5)
    (bench.path / "serve.py").write_text("import nosuchmodule", encoding="utf-8")
    with pytest.raises(Undetermined, match="No module named 'nosuchmodule'") as raised:
        hunting(where)
    assert "server.log" in raised.value.advice
    assert (where.folder / "0" / "run" / "server.log").is_file()
