"""What is told of a race: both lines where one preemption is enough, and no more than was found where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.schedules import FIRST, Choice, Deadlock
from loadgen.core.spec import InvariantSpec, RunSpec
from loadgen.errors import UsageError
from loadgen.hunt.races.folder import read, story, write
from loadgen.hunt.races.narrowing import Narrowed, Pair
from loadgen.hunt.races.trial import RaceFailure, Tried

if TYPE_CHECKING:
    from pathlib import Path

CODE = "total = 0\ndef hit():\n    n = total\n    total = n + 1\n"
STOP = Choice("line", FIRST + 4, 3, FIRST + 1, "app.py:4 hit", 2)


def narrowed(
    path: Path, *choices: Choice, pair: Pair | None = None, dead: Deadlock | None = None
) -> Narrowed:
    broken = (RaceFailure("deadlock at a.py:1" if dead else "kind", "a lost update", 4),)
    tried = Tried(broken, (*choices, *((dead,) if dead else ())), 2, path / "run")
    return Narrowed(tried, choices, pair, 9, repeats=True)


def test_one_preemption_is_told_by_two_lines(tmp_path: Path) -> None:
    """Who was stopped where, behind which line, and what ran in between, as the files have it."""
    (tmp_path / "app.py").write_text(CODE, encoding="utf-8")
    pair = Pair(FIRST + 4, "app.py:4 hit", False, "app.py:3 hit", FIRST + 1, "app.py:3 hit")
    told = (
        "request 4 was stopped at app.py:4 `total = n + 1`, after app.py:3 `n = total`; "
        "request 1 ran app.py:3 `n = total` in between: a lost update"
    )
    assert story(narrowed(tmp_path, STOP, pair=pair), [STOP], "a lost update", tmp_path) == [told]


def test_several_preemptions_are_listed(tmp_path: Path) -> None:
    """No explanation is made up."""
    two = [STOP, Choice("call", FIRST + 1, 5, FIRST + 4, "app.py:3 hit")]
    assert story(narrowed(tmp_path, *two), two, "broken", tmp_path) == [
        "request 4 was stopped at app.py:4, and request 1 went on",
        "request 1 was stopped at app.py:3, and request 4 went on",
    ]


def test_a_deadlock_is_told_by_its_circle(tmp_path: Path) -> None:
    """Who waits where for whom."""
    dead = Deadlock(((FIRST + 1, "app.py:3 f", FIRST + 2, "app.py:4 g"),))
    (line,) = story(narrowed(tmp_path, STOP, dead=dead), [STOP], "deadlock", tmp_path)
    assert line.startswith("request 1 at app.py:3 waits for a lock that request 2 took at app.py:4")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A race can be looked for in other code: its choices, invariants and kinds are in its folder."""
    held = InvariantSpec(unique=("json:$.id",))
    spec, found = RunSpec(target=("app.py",), invariants=held), narrowed(tmp_path, STOP)
    race = write(tmp_path, spec, found.tried.broken, found, (20, 20), str(tmp_path))
    again = read(tmp_path)
    assert (again.spec, again.kinds) == (spec, frozenset({"kind"}))
    assert "--script" in race.record
    assert race.preemptions == 1


def test_a_folder_without_a_race_is_refused(tmp_path: Path) -> None:
    """It says so, and what to give."""
    with pytest.raises(UsageError, match="contains no race"):
        read(tmp_path)
