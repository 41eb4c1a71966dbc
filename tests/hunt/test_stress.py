"""Stress: every trial is made once despite interruptions, failures are kept, and results are summarised."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from loadgen.core.spec import to_json
from loadgen.core.stop import Stop
from loadgen.errors import RecordingFault, UsageError
from loadgen.hunt.folder import HuntFolder
from loadgen.hunt.grid import Grid
from loadgen.hunt.stress import StopReason, StressObserver, Until, stress
from tests.hunt.fake_fleet import DIVERGED, IDENTICAL, LOST, FakeFleet, seed

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.verdict import Judgement
    from loadgen.hunt.grid import Trial
    from loadgen.hunt.trial import TrialPlan, TrialResult

GRID = Grid(concurrency=(1, 8), seeds=tuple(range(1, 6)))
VERSIONS = {"loadgen": "1"}


def hunt(path: Path, fleet: FakeFleet, until: Until | None = None, stop: Stop | None = None) -> StopReason:
    """Hunt in *path*, or go on there."""
    with HuntFolder.open(path, GRID, VERSIONS) as folder:
        work = partial(stress, folder, fleet, until or Until(), stop or Stop(), StressObserver())
        ended = anyio.run(work)
        folder.conclude(ended)
        return ended


def found(path: Path) -> Any:
    """Return what a hunt concluded."""
    return json.loads((path / "summary.json").read_text())


def third_diverges(plan: TrialPlan) -> TrialResult:
    return {3: DIVERGED, 4: LOST}.get(seed(plan), IDENTICAL)


def test_all_are_made_and_counted(tmp_path: Path) -> None:
    """Each trial once, no more at a time than the fleet takes; the cells add up, with their intervals."""
    fleet = FakeFleet(third_diverges, slots=3)
    assert hunt(tmp_path, fleet) is StopReason.ALL
    assert len(fleet.asked) == len({to_json(plan) for plan in fleet.asked}) == 10
    assert fleet.most == 3
    summary = found(tmp_path)
    assert (summary["verdict"], summary["identical"], summary["diverged"]) == ("diverged", 6, 2)
    assert (summary["undetermined"], summary["planned"], summary["requests"]) == (2, 10, 80)
    assert summary["replay_to_recording"] == 0.5
    first, second = summary["cells"]
    assert (first["concurrency"], first["identical"], first["diverged"]) == (1, 3, 1)
    assert second["diverges"] == pytest.approx({"low": 0.0063, "high": 0.8059, "confidence": 0.95}, abs=1e-4)
    token, crash = summary["causes"]
    assert (token["what"], token["trials"]) == ("POST /x/N: body:$.token differs", ["c1-s3", "c8-s3"])
    assert (crash["fault"], crash["trials"]) == ("engine", ["c1-s4", "c8-s4"])


def test_the_files_of_failures_are_kept(tmp_path: Path) -> None:
    """What was identical is removed unless it is asked for; what was not is there, with its command."""
    hunt(tmp_path / "some", FakeFleet(third_diverges))
    kept = {path.name for path in (tmp_path / "some" / "trials").iterdir()}
    assert kept == {"c1-s3", "c8-s3", "c1-s4", "c8-s4"}
    failure = found(tmp_path / "some")["failures"][0]
    assert failure["run"] == str(tmp_path / "some" / "trials" / "c1-s3" / "run")
    assert failure["command"] == "loadgen record --concurrency 1 --seed 3; loadgen verify"
    hunt(tmp_path / "all", FakeFleet(third_diverges), Until(keep=True))
    assert len(list((tmp_path / "all" / "trials").iterdir())) == 10


def test_until_failure(tmp_path: Path) -> None:
    """The first divergence ends it, not what cannot be told; what was under way leaves nothing."""
    fleet = FakeFleet(lambda plan: {1: LOST, 3: DIVERGED}.get(seed(plan), IDENTICAL))
    assert hunt(tmp_path, fleet, Until(failure=True)) is StopReason.FOUND
    assert found(tmp_path)["diverged"] == 1
    assert {path.name for path in (tmp_path / "trials").iterdir()} == {"c1-s1", "c8-s1", "c1-s3"}


def test_time_is_up(tmp_path: Path) -> None:
    """Nothing is begun without time; nothing made is undetermined."""
    fleet = FakeFleet(third_diverges)
    assert hunt(tmp_path, fleet, Until(seconds=0)) is StopReason.TIME
    assert (fleet.asked, found(tmp_path)["verdict"]) == ([], "undetermined")


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """After an interruption and a torn line, the rest is made, and the whole is told as if in one go."""
    stop = Stop()

    def interrupt(plan: TrialPlan) -> TrialResult:
        stop.requested = seed(plan) == 2
        return third_diverges(plan)

    first = FakeFleet(interrupt)
    assert hunt(tmp_path, first, stop=stop) is StopReason.INTERRUPTED
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"trial": "c1-s5", "judg')
    (tmp_path / "trials" / "c1-s5").mkdir(parents=True)  # what a killed one left
    second = FakeFleet(third_diverges)
    assert hunt(tmp_path, second) is StopReason.ALL
    assert 0 < len(first.asked) < 10
    assert sorted(map(str, (*first.asked, *second.asked))) == sorted(str(one.plan) for one in GRID.trials())
    once = tmp_path / "once"
    hunt(once, FakeFleet(third_diverges))
    for part in ("cells", "causes", "verdict"):
        assert found(tmp_path)[part] == found(once)[part]


def test_an_error_of_all_trials_ends_it(tmp_path: Path) -> None:
    """What the commands refuse is raised as it is, once, and an empty hunt leaves nothing."""
    fleet = FakeFleet(lambda _: UsageError("no such thing"), slots=4)
    with pytest.raises(UsageError, match="no such thing"):
        hunt(tmp_path / "hunt", fleet)
    assert not (tmp_path / "hunt").exists()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """Trials of different settings or versions are never mixed; nor is a folder taken that holds more."""
    hunt(tmp_path / "hunt", FakeFleet(third_diverges))
    with pytest.raises(UsageError, match="seeds was 1 2 3 4 5, now 1"):
        HuntFolder.open(tmp_path / "hunt", replace(GRID, seeds=(1,)), VERSIONS)
    with pytest.raises(UsageError, match="another loadgen: 1, not 2"):
        HuntFolder.open(tmp_path / "hunt", GRID, {"loadgen": "2"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    with pytest.raises(UsageError, match="is not empty"):
        HuntFolder.open(tmp_path / "mine", GRID, VERSIONS)


def test_one_at_a_time(tmp_path: Path) -> None:
    """Two hunts do not write into one folder."""
    with (
        HuntFolder.open(tmp_path, GRID, VERSIONS),
        pytest.raises(UsageError, match="another loadgen stress is using"),
    ):
        HuntFolder.open(tmp_path, GRID, VERSIONS)


@pytest.mark.parametrize("damage", ["{}\n", "[]\n", "x\n", '{"trial": "c1-s1", "judgement": "fine"}\n'])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    """A line that is whole and wrong is an error with its number: results are not guessed."""
    hunt(tmp_path, FakeFleet(third_diverges))
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write(damage)
    with pytest.raises(RecordingFault, match="line 11 is damaged"):
        HuntFolder.open(tmp_path, GRID, VERSIONS)
    (tmp_path / "hunt.json").write_text("{}")
    with pytest.raises(RecordingFault, match=r"hunt\.json is damaged"):
        HuntFolder.open(tmp_path, GRID, VERSIONS)


def test_the_watcher_sees_each_trial(tmp_path: Path) -> None:
    """Progress is told as it happens: every trial begins once and ends once."""
    seen: list[tuple[str, Judgement | None]] = []

    class Seeing(StressObserver):
        def started(self, trial: Trial) -> None:
            seen.append((trial.name, None))

        def finished(self, trial: Trial, result: TrialResult) -> None:
            seen.append((trial.name, result.judgement))

    with HuntFolder.open(tmp_path, GRID, VERSIONS) as folder:
        anyio.run(partial(stress, folder, FakeFleet(third_diverges), Until(), Stop(), Seeing()))
    begun = [name for name, judgement in seen if judgement is None]
    assert sorted(begun) == sorted(name for name, judgement in seen if judgement) == sorted(set(begun))
    assert len(begun) == 10
