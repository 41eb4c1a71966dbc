"""The explanation of a race: both lines if one preemption is enough, otherwise only the switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.schedules import FIRST, Choice, Deadlock, script
from loadgen.core.spec import InvariantSpec, RunSpec
from loadgen.errors import RecordingFault, UsageError
from loadgen.hunt.races.folder import open_hunt, read, save, story, write
from loadgen.hunt.races.hunting import FOUND, SMALLEST, Hunted
from loadgen.hunt.races.narrowing import Narrowed, Pair
from loadgen.hunt.races.trial import RaceFailure, Tried
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

CODE = "total = 0\ndef hit():\n    n = total\n    total = n + 1\n"
SPEC = RunSpec(target=("app.py",), invariants=InvariantSpec(unique=("json:$.id",)))
STOP = Choice("line", FIRST + 4, 3, FIRST + 1, "app.py:4 hit", 2)


def narrowed(
    path: Path, *choices: Choice, pair: Pair | None = None, dead: Deadlock | None = None
) -> Narrowed:
    broken = (RaceFailure("deadlock at a.py:1" if dead else "kind", "a lost update", (4,)),)
    tried = Tried(broken, (*choices, *((dead,) if dead else ())), (0, 1), path / "run")
    tried.run.mkdir()
    return Narrowed(SPEC, tried, choices, pair, 9, repeats=True, replays=(20, 20))


def test_one_preemption_is_told_by_two_lines(tmp_path: Path) -> None:
    """Who was stopped where, behind which line, and what ran in between, as the files have it."""
    (tmp_path / "app.py").write_text(CODE, encoding="utf-8")
    pair = Pair(FIRST + 4, "app.py:4 hit", False, "app.py:3 hit", FIRST + 1, "app.py:3 hit")
    told = (
        "request 4 was stopped at app.py:4 `total = n + 1`, after app.py:3 `n = total`; "
        "request 1 ran app.py:3 `n = total` in between: a lost update"
    )
    assert story(narrowed(tmp_path, STOP, pair=pair), "a lost update", tmp_path) == [told]


def test_a_thread_that_was_stopped_in_a_library(tmp_path: Path) -> None:
    """Where no line of the application was running, the last one that ran says where it was."""
    (tmp_path / "app.py").write_text(CODE, encoding="utf-8")
    pair = Pair(FIRST + 4, "", False, "app.py:3 hit", FIRST + 1, "app.py:3 hit")
    (told,) = story(narrowed(tmp_path, STOP, pair=pair), "a lost update", tmp_path)
    assert told.startswith("request 4 was stopped after app.py:3 `n = total`; request 1 ran app.py:3")


def test_several_preemptions_are_listed(tmp_path: Path) -> None:
    """No explanation is made up."""
    some = [
        Choice("start", None, 0, FIRST + 4),
        STOP,
        Choice("call", FIRST + 1, 5, FIRST + 4, "app.py:3 hit"),
        Choice("slow", FIRST + 4, 8, FIRST + 2),
    ]
    assert story(narrowed(tmp_path, *some), "broken", tmp_path) == [
        "request 4 was stopped at app.py:4, and request 1 went on",
        "request 1 was stopped at app.py:3, and request 4 went on",
        "request 4 waited for a call, and request 2 went on",
    ]


def test_one_preemption_and_three_requests_are_listed(tmp_path: Path) -> None:
    """Who ran while one was stopped, in which order; with more preemptions, only those."""
    then = Choice("end", FIRST + 1, 9, FIRST + 2)
    first = "request 4 was stopped at app.py:4, and request 1 went on"
    told = story(narrowed(tmp_path, then, STOP), "broken", tmp_path)
    assert told == [first, "request 1 ended, and request 2 went on"]


def test_a_deadlock_is_told_by_its_circle(tmp_path: Path) -> None:
    """Who waits where for whom."""
    dead = Deadlock(((FIRST + 1, "app.py:3 f", FIRST + 2, "app.py:4 g"),))
    (line,) = story(narrowed(tmp_path, STOP, dead=dead), "deadlock", tmp_path)
    assert line.startswith("request 1 at app.py:3 waits for a lock that request 2 took at app.py:4")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A race can be looked for in other code: its choices, invariants and kinds are in its folder."""
    race = write(tmp_path, narrowed(tmp_path, STOP), str(tmp_path))
    project = kept(tmp_path / "project", tmp_path)
    again = read(tmp_path)
    assert (again.kinds, again.directory) == (frozenset({"kind"}), str(project))
    assert again.script == tmp_path / "script.jsonl"
    assert (tmp_path / "run" / "race.json").read_bytes() == (tmp_path / "race.json").read_bytes()
    assert "--script" in race.record
    assert race.preemptions == 1
    assert (race.repeats, again.repeats) == (True, True)
    assert race.is_minimal


def kept(project: Path, folder: Path) -> Path:
    """Write a run that was recorded in *project* as the smallest case of *folder*; return *project*."""
    project.mkdir()
    (project / "app.py").write_text(CODE, encoding="utf-8")
    run, manifest = make(folder / SMALLEST / "run", Sample(verified=False))
    manifest.sources = {str(project / "app.py"): "digest"}
    manifest.result.started.checkout = manifest.result.started.directory = str(project)
    run.save(manifest)
    return project


def test_a_race_is_recorded_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are those of the directory in which it was found, or of the checkout that holds its folder."""
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    write(first, narrowed(first, STOP), str(first))
    project = kept(tmp_path / "project", first)
    monkeypatch.chdir("/")
    assert read(first).spec.target == (str(project / "app.py"),)
    project.rename(other)
    first.rename(other / "race")
    again = read(other / "race")
    assert (again.directory, again.spec.target) == (str(other), (str(other / "app.py"),))
    assert again.script == other / "race" / "script.jsonl"
    (other / "app.py").unlink()
    with pytest.raises(RecordingFault, match="is not here"):
        read(other / "race")


def test_an_interrupted_hunt_goes_on(tmp_path: Path) -> None:
    """What it counted and measured is kept; a hunt with other options, or a finished one, is refused."""
    hunted = Hunted(trials=3, requests=48, measured={"GET /": 7}, seconds=9.5, unchecked={"unique": "none"})
    save(tmp_path, SPEC, hunted)
    assert open_hunt(tmp_path, tmp_path, SPEC, ()) == (tmp_path, hunted)
    other = RunSpec(target=("other.py",))
    with pytest.raises(UsageError, match=r"other options: loadgen races .*app\.py"):
        open_hunt(tmp_path, tmp_path, other, ())
    write(tmp_path, narrowed(tmp_path, STOP), str(tmp_path))
    with pytest.raises(UsageError, match="has found a race"):
        open_hunt(tmp_path, tmp_path, SPEC, ())


def test_what_was_found_is_looked_at_again(tmp_path: Path) -> None:
    """A hunt that was interrupted after it had found something goes on with its recording."""
    run, _ = make(tmp_path / FOUND / "run", Sample(requests=4, fail=(2,), verified=False))
    run.schedule.write_text(script([STOP], [0, 1]), encoding="utf-8")
    save(tmp_path, SPEC, Hunted(trials=2, spec=SPEC))
    _, hunted = open_hunt(tmp_path, tmp_path, SPEC, ())
    assert hunted.found is not None
    assert (hunted.found.choices, hunted.found.requests, len(hunted.found.broken)) == ([STOP], 4, 1)


def test_a_folder_without_a_race_is_refused(tmp_path: Path) -> None:
    """It says so, and what to give."""
    with pytest.raises(UsageError, match="contains no race"):
        read(tmp_path)
