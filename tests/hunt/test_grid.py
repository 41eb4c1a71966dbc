"""The grid: lists of numbers, every combination once, and options assigned to their commands."""

from __future__ import annotations

import pytest

from loadgen.core.spec import Load, RecordTopology, RunSpec, Runtime, ScenarioTraffic, VerifySpec
from loadgen.errors import UsageError
from loadgen.hunt.grid import Grid, concurrencies, numbers, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8", (8,)), ("1,2,4", (1, 2, 4)), ("1..4", (1, 2, 3, 4)), ("5, 1..3,2", (5, 1, 2, 3)), ("7..7", (7,))],
)
def test_numbers(text: str, expected: tuple[int, ...]) -> None:
    """Lists and ranges, in their order, each number once."""
    assert numbers(text, "--seeds") == expected


@pytest.mark.parametrize("text", ["", "x", "1,,2", "4..1", "-1", "1...3", "1..", "0..999999999"])
def test_what_is_no_list_is_refused(text: str) -> None:
    """A mistake is told with the option it is in, and no range is too long to be held."""
    with pytest.raises(UsageError, match="--seeds"):
        numbers(text, "--seeds")


@pytest.mark.parametrize("text", ["0", "1,0", "1025"])
def test_numbers_of_users_that_no_run_has_are_refused(text: str) -> None:
    """The limits are those of ``loadgen record``."""
    with pytest.raises(UsageError, match="--concurrency must be at"):
        concurrencies(text)
    assert concurrencies("1..3") == (1, 2, 3)


def test_a_range_that_is_too_long_is_one() -> None:
    """Its message says what is wrong with it."""
    with pytest.raises(UsageError, match="at most 100,000 numbers"):
        numbers("1..999999999", "--seeds")


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400)])
def test_seconds(text: str, expected: float) -> None:
    """Durations as people write them."""
    assert seconds(text, "--time-budget") == expected


@pytest.mark.parametrize("text", ["", "m", "0", "-1s", "1d", "1m30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A mistake is told with the option it is in."""
    with pytest.raises(UsageError, match="--time-budget"):
        seconds(text, "--time-budget")


def test_every_combination_once_and_every_cell_before_the_next_seed() -> None:
    """A hunt that is cut short has seen all cells as often, give or take one."""
    grid = Grid(
        record=RunSpec(target=("serve.py",), load=Load(iterations=5)),
        verify=VerifySpec(replays=3),
        concurrency=(1, 8),
        seeds=(1, 2),
        scenarios=("mixed", "my.py:a"),
        runtimes=("local",),
    )
    trials = list(grid.trials())
    assert len(grid) == len(trials) == len({trial.name for trial in trials}) == 8
    assert [trial.cell for trial in trials[:4]] == grid.cells
    assert {trial.seed for trial in trials[:4]} == {1}
    assert trials[3].name == "2-my-py-a-c8-s1"
    assert trials[3].plan.record == RunSpec(
        target=("serve.py",),
        load=Load(concurrency=8, iterations=5, seed=1),
        traffic=ScenarioTraffic(scenario="my.py:a"),
        topology=RecordTopology(runtime=Runtime.LOCAL),
    )
    assert trials[3].plan.verify == VerifySpec(replays=3)


def test_what_is_not_given_is_left_to_the_commands() -> None:
    """Without a scenario or runtime, each trial has what record takes by itself."""
    (trial,) = Grid(concurrency=(4,), seeds=(9,)).trials()
    assert trial.plan.record == RunSpec(load=Load(concurrency=4, seed=9))
    assert (trial.name, trial.plan.verify) == ("c4-s9", VerifySpec())
