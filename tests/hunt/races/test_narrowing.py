"""The reduction of a failure: when a recording repeats a script, and when the search ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.schedules import FIRST, Choice, Ended, Entry, parse
from loadgen.core.spec import RunSpec
from loadgen.core.stop import Stop
from loadgen.hunt.fleet import LocalFleet
from loadgen.hunt.races import narrowing
from loadgen.hunt.races.hunting import Setting
from loadgen.hunt.races.narrowing import Narrowing, as_made, made_again
from loadgen.hunt.races.trial import RaceFailure, Tried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILURE = RaceFailure("kind", "a lost update", 4)

STOP = Choice("line", FIRST + 1, 4, FIRST + 2, "app.py:9 new")
CALL = Choice("call", FIRST + 1, 4, FIRST + 2)
"""The same step, where the location is not known: in a call outside the application's files."""


@pytest.mark.parametrize(
    ("asked", "made", "is_repeated"),
    [
        ([STOP], [STOP], True),
        ([CALL], [STOP], True),
        ([STOP], [replace(STOP, at="app.py:12 old")], False),
        ([STOP], [replace(STOP, step=5)], False),
        ([STOP], [], False),
        ([], [STOP], True),
        ([STOP], [replace(STOP, thread=FIRST + 2), STOP], True),
        ([replace(STOP, kind="start")], [], True),
    ],
)
def test_a_recording_repeats_what_was_asked(
    asked: list[Choice],
    made: list[Choice],
    is_repeated: bool,  # noqa: FBT001
) -> None:
    """Each preemption at its step, and at its location if that is known; others do not matter."""
    assert made_again(asked, made) is is_repeated


def test_a_preemption_is_told_as_it_was_made() -> None:
    """Its location comes from the recording, so that the explanation has a line; what it asked for stays."""
    made = replace(STOP, to=FIRST + 3)
    assert as_made(CALL, [replace(STOP, step=1), made]) == STOP
    assert as_made(CALL, []) == CALL


def searching(
    found: Sequence[Entry], path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[list[Choice]], bool]
) -> Narrowing:
    """Return a search that begins with the schedule *found*; scripts fail as *fails* says."""

    async def attempt(fleet: object, spec: RunSpec, folder: Path, *_: object) -> Tried:
        assert isinstance(fleet, LocalFleet)
        entries = parse(Path(str(spec.explore.script)).read_text(encoding="utf-8").splitlines(keepends=True))
        made = [entry for entry in entries if isinstance(entry, Choice)]
        (folder / "run").mkdir(parents=True, exist_ok=True)
        return Tried((FAILURE,) if fails(made) else (), tuple(made), (0, 1, 2, 3), folder / "run")

    monkeypatch.setattr(narrowing, "attempt", attempt)
    setting = Setting(RunSpec(target=("app.py",)), (), path, LocalFleet(1))
    first = Tried((FAILURE,), tuple(found), (0, 1, 2, 3), path)
    return Narrowing(setting, setting.spec, first, Stop(), lambda _: None)


def test_the_search_for_fewer_preemptions_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its number of recordings, the fewest that failed are taken; fewer may be enough."""
    stops = [replace(STOP, step=step) for step in range(1, 65)]
    needed = {stops[5], stops[20]}

    def reduced(most: int) -> tuple[set[Choice], bool, int]:
        monkeypatch.setattr(narrowing, "FEWER", most)
        search = searching(stops, tmp_path, monkeypatch, lambda made: needed <= set(made))
        script = anyio.run(search._fewer_preemptions)
        assert script is not None
        return set(script), search.is_minimal, search.trials

    assert reduced(1000)[:2] == (needed, True)
    few, is_minimal, trials = reduced(8)
    assert needed < few < set(stops)
    assert not is_minimal
    assert trials == 10


def test_as_few_run_meanwhile_as_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three requests that ran while one was stopped, two are needed, in their order."""
    one, two, three, four = (FIRST + number for number in range(1, 5))
    found: list[Entry] = [replace(STOP, thread=one, to=two)]
    for thread, then in ((two, three), (three, four), (four, one)):
        found += [Ended(thread, "GET /", 9), Choice("end", thread, 9, then)]
    found.append(Ended(one, "GET /", 9))

    def meanwhile(made: list[Choice]) -> list[int | None]:
        """Return who runs while the first one is stopped."""
        stop = next((choice for choice in made if choice.is_preemption), None)
        return [] if stop is None else [stop.to, *(choice.to for choice in made if choice.kind == "end")]

    def fails(made: list[Choice]) -> bool:
        return [thread for thread in meanwhile(made) if thread != three] == [two, four]

    script = anyio.run(searching(found, tmp_path, monkeypatch, fails)._one_preemption)
    assert script is not None
    assert meanwhile(script) == [two, four]
    assert [choice.to for choice in script if choice.kind == "start"] == [one, two, four, three]
