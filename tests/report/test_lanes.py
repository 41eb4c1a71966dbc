"""The lanes of a schedule: what ran, in order; a line before which a thread was stopped had not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core.masking import Masker, parse
from loadgen.core.schedules import FIRST, Choice, Ended, Ran
from loadgen.report.lanes import LaneTurn, lanes, turns
from tests.report.sample import RACE, Sample, make

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line_runs_when_its_thread_goes_on() -> None:
    """A line before which a thread was stopped is in its next turn; one it was inside of is in this one."""
    one, other = FIRST + 1, FIRST + 2
    found = turns(
        [
            Choice("start", None, 0, one),
            Ran(one, 1, "a.py:1 f"),
            Ran(one, 2, "a.py:2 f"),
            Choice("line", one, 2, other, "a.py:2 f", 2),
            Ran(other, 1, "a.py:1 f"),
            Ran(other, 2, "a.py:1 f"),
            Choice("store", other, 2, one, "a.py:1 f", 2),
            Ran(one, 3, "a.py:3 f"),
            Ended(one, "GET /", 3),
        ]
    )
    assert found == [
        LaneTurn(one, ["a.py:1 f"], "line", other, "a.py:2 f"),
        LaneTurn(other, ["a.py:1 f"], "store", one, "a.py:1 f"),
        LaneTurn(one, ["a.py:2 f", "a.py:3 f"]),
    ]


def test_the_two_lines_are_shown_in_their_file(tmp_path: Path) -> None:
    """Code is that of the recording: of a file that has changed since, no line is shown."""
    run, manifest = make(tmp_path / "run", RACE)
    masker = Masker(parse(()))
    found = lanes(run, manifest, masker)
    assert found is not None
    assert [lane["name"] for lane in found["lanes"]] == ["request 2", "request 1"]
    assert [one["code"] for one in found["locations"]] == ["n = total", "total = n + 1", "return total"]
    assert [turn["lines"] for turn in found["turns"]] == [[0], [0, 1], [1, 2]]
    assert [(one["marked"], one["lines"][one["marked"] - one["first"]]) for one in found["excerpts"]] == [
        (7, "    total = n + 1"),
        (6, "    n = total"),
    ]
    (tmp_path / "app.py").write_text("total = 1\n", encoding="utf-8")
    changed = lanes(run, manifest, masker)
    assert changed is not None
    assert not changed["excerpts"]
    assert {one["code"] for one in changed["locations"]} == {""}


def test_other_runs_have_no_lanes(tmp_path: Path) -> None:
    """A run that was not explored, or whose schedule is damaged, has none."""
    masker = Masker(parse(()))
    assert lanes(*make(tmp_path / "one", Sample(requests=3)), masker) is None
    assert lanes(*make(tmp_path / "two", Sample(requests=3, schedule="{}\n")), masker) is None
