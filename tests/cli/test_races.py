"""``loadgen races``: what it prints and its exit codes; the trials are made by the test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadgen.core.invariants import Checked
from loadgen.core.spec import Points, RunSpec, Schedule
from loadgen.hunt.races.folder import RecordedRace
from loadgen.hunt.races.trial import RaceFailure, Tried
from tests.cli.test_commands import Shell, loadgen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["loadgen"]

RACE = RaceFailure("unique json:$.id", "requests 1 and 2 both got 1", (1, 2))
ANOTHER = RaceFailure("500 on GET /", "request 1: 500 on GET /", (1,))
RUN = Path("run")
HOLDS = Tried((), (), (0, 1), RUN)


def trials(monkeypatch: pytest.MonkeyPatch, where: str, *made: Tried) -> list[RunSpec]:
    """Let the attempts in the module *where* end as *made*, and then like the last; return their specs."""
    left: Iterator[Tried] = iter(made)
    asked: list[RunSpec] = []

    async def attempt(_: object, spec: RunSpec, *__: object) -> Tried:
        asked.append(spec)
        return next(left, made[-1])

    monkeypatch.setattr(f"{where}.attempt", attempt)
    return asked


@pytest.mark.parametrize(
    ("made", "code", "says"),
    [
        ([HOLDS], 0, "it breaks in none of 5 recordings"),
        ([Tried((RACE,), (), (0, 1), RUN), HOLDS], 1, "it still breaks: in 1 of 5 recordings"),
        (
            [HOLDS, Tried((ANOTHER,), (), (0, 1), RUN)],
            1,
            "it breaks in another way, in 4 of 5 recordings of the same choices: request 1: 500 on GET /",
        ),
    ],
)
def test_a_fix_that_breaks_otherwise_is_none(
    loadgen: Shell, monkeypatch: pytest.MonkeyPatch, made: list[Tried], code: int, says: str
) -> None:
    """A schedule holds only if nothing breaks, whatever it was that broke before."""
    race = RecordedRace(RunSpec(), frozenset({RACE.kind}), Path("script.jsonl"), ".", repeats=True)
    monkeypatch.setattr("loadgen.hunt.races.folder.read", lambda _: race)
    trials(monkeypatch, "loadgen.hunt.races.trial", *made)
    said = loadgen("races", "--again", "races/1")
    assert said.code == code
    assert says in said.out


def test_what_was_never_checked_is_undetermined(loadgen: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path at which no answer has a value is a mistake, and must not look like a result."""
    never = Checked("unique json:$.nothing", holds=None, message="no answer has a value at json:$.nothing")
    asked = trials(monkeypatch, "loadgen.hunt.races.hunting", Tried((), (), (0, 1), RUN, checked=(never,)))
    Path("app.py").touch()
    said = loadgen("races", "--points", "calls", "--unique", "json:$.nothing", "--budget", "1ms", "app.py")
    assert said.code == 3
    assert "never checked: unique json:$.nothing" in said.out
    assert {(spec.schedule, spec.explore.points) for spec in asked} == {(Schedule.EXPLORE, Points.CALLS)}
