"""The reduction of a failure: when a recording repeats a script, and when the search ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.schedules import FIRST, Choice, Ended, Entry, parse, users
from loadgen.core.spec import Load, RunSpec
from loadgen.core.stop import Stop
from loadgen.hunt.fleet import LocalFleet
from loadgen.hunt.races import narrowing
from loadgen.hunt.races.hunting import Setting
from loadgen.hunt.races.narrowing import Narrowing, as_made, made_again
from loadgen.hunt.races.trial import RaceFailure, Tried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILURE = RaceFailure("kind", "a lost update", (4,))
OF_NO_REQUEST = RaceFailure("kind", "a sum is wrong")

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
    found: Sequence[Entry],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[list[Choice]], bool],
    senders: tuple[int, ...] = (0, 1, 2, 3),
    fails_with: Callable[[list[int]], bool] = lambda _: True,
    failure: RaceFailure = FAILURE,
) -> Narrowing:
    """Return a search that begins with the schedule *found*, with the requests of *senders*.

    Scripts fail with *failure* as *fails* and *fails_with* say: the one of their choices, the other of their
    senders.
    """

    async def attempt(fleet: object, spec: RunSpec, folder: Path, *_: object) -> Tried:
        assert isinstance(fleet, LocalFleet)
        lines = Path(str(spec.explore.script)).read_text(encoding="utf-8").splitlines(keepends=True)
        entries, sent = parse(lines), users(lines)
        assert set(sent) <= set(spec.load.only or senders)
        made = [entry for entry in entries if isinstance(entry, Choice)]
        (folder / "run").mkdir(parents=True, exist_ok=True)
        failed = fails(made) and fails_with(sent)
        ends = [entry for entry in found if isinstance(entry, Ended)]
        return Tried((failure,) if failed else (), (*made, *ends), tuple(sent), folder / "run")

    monkeypatch.setattr(narrowing, "attempt", attempt)
    spec = RunSpec(target=("app.py",), load=Load(concurrency=8, iterations=2))
    setting = Setting(spec, (), path, LocalFleet(1))
    first = Tried((failure,), tuple(found), senders, path)
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

    search = searching(found, tmp_path, monkeypatch, fails)

    async def script_with_one() -> list[Choice]:
        script = await search._one_preemption()
        assert script is not None
        assert meanwhile(script) == [two, three, four]
        return await search._fewer_meanwhile(script)

    script = anyio.run(script_with_one)
    assert meanwhile(script) == [two, four]
    assert [choice.to for choice in script if choice.kind == "start"] == [one, two, four, three]


def test_as_few_requests_are_left_as_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the switches, of the users without which it holds, and of no later iteration."""
    senders = (0, 5, 2, 3, 7, 1, 4, 6, 7, 5, 3, 2, 0, 1, 4, 6)
    stop = replace(STOP, thread=FIRST + 2, to=FIRST + 5)  # of users 5 and 7
    order = [Choice("start", None, 0, FIRST + number) for number in range(1, 17)]
    needed = {3, 5, 7}
    search = searching(
        [stop],
        tmp_path,
        monkeypatch,
        lambda made: made[-1].is_preemption,
        senders,
        needed.issubset,
        OF_NO_REQUEST,
    )
    *_, last = anyio.run(search._fewer_requests, [*order, stop])
    load = search._spec.load
    assert (load.only, load.iterations, load.concurrency) == ((3, 5, 7), 1, 8)
    assert search._smallest.users == (5, 3, 7)
    assert (last.thread, last.to) == (FIRST + 1, FIRST + 3)
    assert search.trials < 16
