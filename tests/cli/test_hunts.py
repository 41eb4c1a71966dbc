"""``loadgen stress`` and ``shrink``: options reach whom they are for, and mistakes are told at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from loadgen.cli.main import app
from loadgen.cli.passing import HandedOn, PassingCommand, handed_on, recorded_with
from loadgen.core.verdict import Judgement
from loadgen.errors import UsageError
from loadgen.hunt.grid import Grid
from loadgen.hunt.summary import summarise
from loadgen.report.hunt import render
from tests.cli.test_commands import Shell, loadgen
from tests.hunt.fake_fleet import DIVERGED, IDENTICAL, LOST

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["loadgen"]


def context(*arguments: str) -> Any:
    """Return the context of ``loadgen stress`` with these arguments."""
    group: Any = typer.main.get_command(app)
    parent = group.make_context("loadgen", ["stress"], resilient_parsing=True)
    command = group.commands["stress"]
    assert isinstance(command, PassingCommand)
    return command.make_context("stress", [*arguments], parent=parent)


@pytest.mark.parametrize(
    ("arguments", "target", "expected"),
    [
        (["serve.py"], ["serve.py"], HandedOn()),
        (["-n", "20", "serve.py"], ["serve.py"], HandedOn(("-n", "20"))),
        (["-n20", "serve.py"], ["serve.py"], HandedOn(("-n20",))),
        (["--iterations=20", "a:b"], ["a:b"], HandedOn(("--iterations=20",))),
        (["serve.py", "--stacks", "-c", "1,2"], ["serve.py"], HandedOn(("--stacks",))),
        (["--replays", "3", "x.py"], ["x.py"], HandedOn((), ("--replays", "3"))),
        (["--timeout", "5", "x.py"], ["x.py"], HandedOn(("--timeout", "5"), ("--timeout", "5"))),
        (
            ["-n", "2", "--", "python", "-n", "x"],
            None,
            HandedOn(("-n", "2"), (), ("--", "python", "-n", "x")),
        ),
    ],
    ids=str,
)
def test_options_reach_whom_they_are_for(
    arguments: list[str], target: list[str] | None, expected: HandedOn
) -> None:
    """What record or verify knows goes to it, or to both; the rest is ours."""
    found = context(*arguments)
    assert handed_on(found) == expected
    assert (list(found.params["target"] or ()) or None) == target


@pytest.mark.parametrize(
    ("command", "options", "target"),
    [
        ("loadgen record", (), ()),
        ("loadgen record -c 4 --seed=2 -n5 --stacks --run a/b serve.py", ("--stacks",), ("serve.py",)),
        ("loadgen record --events --timeout 5 a:b --scenario x.py:y", ("--timeout", "5"), ("a:b",)),
        ("loadgen record --duration 3s -- python x.py -c 4", (), ("--", "python", "x.py", "-c", "4")),
    ],
)
def test_a_recorded_command_is_read_back(
    command: str, options: tuple[str, ...], target: tuple[str, ...]
) -> None:
    """What a run was recorded with, without what it was sent."""
    assert recorded_with(context(), command.split()) == (options, target)
    with pytest.raises(UsageError, match="was not recorded by loadgen record"):
        recorded_with(context(), ["pytest", "x"])


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["stress", "--seeds", "x"], 2, "--seeds"),
        (["stress", "-c", "4..1"], 2, "--concurrency"),
        (["stress", "--time-budget", "soon"], 2, "--time-budget"),
        (["stress", "--seed", "3"], 2, "--seed"),
        (["stress", "--nosuch"], 2, "--nosuch"),
        (["stress", "nosuch.py"], 2, "nosuch.py"),
        (["stress", "--folder", "."], 2, "is not empty"),
        (["stress", "--cluster", "tls://x:1"], 2, "--tls-ca"),
        (["stress", "--cluster", "tls://x:1", "--tls-ca", "mine"], 2, "all three"),
        (["shrink"], 2, "no run in runs/"),
        (["shrink", "nosuch"], 2, "nosuch is no run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told(
    loadgen: Shell, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    """On stderr, with the word it is about, and nothing is done or left."""
    (tmp_path / "mine").touch()
    said = loadgen(*arguments)
    assert (said.code, said.out) == (code, "")
    assert word in said.err
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_page_tells_what_the_summary_does() -> None:
    """The page has no program, no place that was not filled, and nothing of a trial as markup."""
    grid = Grid(target=("<serve>.py",), concurrency=(1, 8), seeds=(1, 2))
    results = {"c1-s1": IDENTICAL, "c8-s1": DIVERGED, "c1-s2": LOST}
    found = summarise(grid, results, "its time was up")
    page = render(found, "x", ["loadgen", "stress", "<serve>.py"], {"c8-s1"}, version="1").decode()
    assert found.judgement is Judgement.DIVERGED
    assert "script-src 'none'" in page
    assert "<script" not in page
    assert "{{" not in page
    assert "<serve>" not in page
    for text in (
        "1 of 2 trials diverged",
        "3<small>of 4; its time was up",
        "POST /x/N: body:$.token differs",
    ):
        assert text in page
    assert '<a href="trials/c8-s1/run/report.html">c8-s1</a>' in page
    assert 'href="trials/c1-s2' not in page
    assert json.dumps(found.to_json())
