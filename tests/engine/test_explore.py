"""Exploring: chosen schedules break only racy code, and replay as recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.spec import Explore, Points
from loadgen.core.verdict import Judgement
from tests.engine.conftest import visiting
from tests.engine.test_schedule import ORDERED, RACING
from tests.engine.test_schedule import SERVER as THREADS

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from loadgen.record import Recorded
    from tests.engine.conftest import Bench

SERVER = """
    import threading
    from flask import Flask

    app = Flask(__name__)
    total, safe, short = 0, 0, 0
    lock, one, two = threading.Lock(), threading.Lock(), threading.Lock()

    @app.post("/racy")
    def racy():
        global total
        seen = total
        total = seen + 1
        return {"n": seen + 1}

    @app.post("/short")
    def written_in_one_line():
        global short
        short += 1
        return {"n": short}

    @app.post("/safe")
    def locked():
        global safe
        with lock:
            seen = safe
            safe = seen + 1
        return {"n": seen + 1}

    @app.get("/there")
    def there():
        with one:
            with two:
                return {}

    @app.get("/back")
    def back():
        with two:
            with one:
                return {}

    if __name__ == "__main__":
        app.run()
"""


def counting(path: str) -> Scenario:
    """Return a scenario in which no two answers may have the same number."""
    seen = set[int]()

    async def run(user: User) -> None:
        number = (await user.http.post(path)).json()["n"]
        assert number not in seen, "a lost update"
        seen.add(number)

    return Scenario("counting", "counts", run)


def explore(bench: Bench, scenario: Scenario, seed: int = 1, **how: Any) -> Recorded:
    wanted = Explore(**{"strategy": "random:0.3", "schedule_seed": seed, **how})
    return bench.record(
        bench.script(SERVER), scenario, iterations=2, explore=wanted, run=f"run{seed}", seed=seed
    )


def entries(bench: Bench, seed: int = 1) -> list[dict[str, Any]]:
    text = (bench.path / f"run{seed}" / "schedule.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def identical(bench: Bench, seed: int = 1) -> bool:
    verdict = bench.verify(f"run{seed}").verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
    return True


@pytest.mark.engine
@pytest.mark.parametrize("strategy", ["random:0.2", "pct:3", "pause:2"])
def test_a_lost_update_is_found_and_replays(bench: Bench, strategy: str) -> None:
    """Two plain lines that no schedule of the interpreter's tears apart are, and the answers come again."""
    for seed in range(1, 9):
        if explore(bench, counting("/racy"), seed, strategy=strategy).totals.failed_iterations:
            break
    else:
        pytest.fail("not in 8 trials")
    assert identical(bench, seed)
    assert identical(bench, seed)


@pytest.mark.engine
def test_inside_a_line(bench: Bench) -> None:
    """A line that reads and writes what is shared is torn apart, too."""
    seeds = range(1, 9)
    assert any(explore(bench, counting("/short"), seed).totals.failed_iterations for seed in seeds)


@pytest.mark.engine
@pytest.mark.parametrize("points", [Points.LINES, Points.CALLS])
def test_locks_are_respected(bench: Bench, points: Points) -> None:
    """What a lock keeps together no choice tears apart."""
    for seed in range(1, 4):
        assert not explore(bench, counting("/safe"), seed, points=points).totals.failed_iterations
    assert identical(bench, 3)


@pytest.mark.engine
def test_without_points_nothing_is_preempted_in_the_code(bench: Bench) -> None:
    """Then only calls that are on the tape are places to switch at, and those lines stay together."""
    assert not explore(bench, counting("/racy"), points=Points.NONE).totals.failed_iterations
    assert not [entry for entry in entries(bench) if entry.get("point")]
    assert identical(bench)


@pytest.mark.engine
def test_a_deadlock_is_told_at_once(bench: Bench) -> None:
    """The circle is on the schedule with its lines, one request fails, all others go on; and it replays."""
    scenario = visiting("/there", "/back")
    for seed in range(1, 9):
        recorded = explore(bench, scenario, seed)
        told = [entry["deadlock"] for entry in entries(bench, seed) if "deadlock" in entry]
        if told:
            break
    else:
        pytest.fail("not in 8 trials")
    assert recorded.totals.failures == 0  # nobody waited for a time-out
    assert recorded.totals.statuses[500] == len(told)
    assert {wait["at"].partition(" ")[0] for wait in told[0]} == {"serve.py:33", "serve.py:39"}
    assert identical(bench, seed)


@pytest.mark.engine
def test_a_script_repeats_what_was_chosen(bench: Bench) -> None:
    """The schedule of a failure, given as a script, fails again, at the same places."""
    seed = next(
        seed for seed in range(1, 9) if explore(bench, counting("/racy"), seed).totals.failed_iterations
    )
    script = str(bench.path / f"run{seed}" / "schedule.jsonl")
    again = explore(bench, counting("/racy"), 100, script=script)
    assert again.totals.failed_iterations

    def preemptions(seed: int) -> list[tuple[int, int, int]]:
        return [(one["thread"], one["step"], one["to"]) for one in entries(bench, seed) if one.get("point")]

    assert preemptions(100) == preemptions(seed)


@pytest.mark.engine
@pytest.mark.parametrize("strategy", ["random:0.1", "pct:3", "pause:3"])
@pytest.mark.parametrize("points", [Points.LINES, Points.CALLS])
def test_threads_of_all_kinds_replay(bench: Bench, strategy: str, points: Points) -> None:
    """Pools, queues, conditions, barriers, finalizers of cycles: chosen as well, they repeat."""
    recorded = bench.record(
        bench.script(THREADS.replace("20_000", "50").replace("2_000", "20")),  # loops: each turn is a point
        visiting(*ORDERED, *RACING),
        iterations=2,
        explore=Explore(strategy=strategy, points=points, schedule_seed=3),
    )
    assert set(recorded.totals.statuses) == {200}
    verdict = bench.verify(timeout=15).verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
