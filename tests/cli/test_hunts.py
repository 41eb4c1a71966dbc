"""``loadgen stress`` and ``shrink``: options reach their commands, and errors are reported at once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.cli.main import app
from loadgen.cli.options import group_of
from loadgen.core.option import assemble
from loadgen.core.spec import RunSpec, VerifySpec
from loadgen.core.verdict import Judgement
from loadgen.errors import UsageError
from loadgen.hunt.grid import Grid
from loadgen.hunt.summary import KEPT, Results
from loadgen.report.hunt import render
from tests.cli.test_commands import Shell, loadgen
from tests.hunt.fake_fleet import DIVERGED, IDENTICAL, LOST

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["loadgen"]


@pytest.mark.parametrize(
    ("arguments", "target", "record", "verify"),
    [
        (["serve.py"], ("serve.py",), {}, {}),
        (["-n", "20", "serve.py"], ("serve.py",), {"iterations": 20}, {}),
        (["-n20", "serve.py"], ("serve.py",), {"iterations": 20}, {}),
        (["--iterations=20", "a:b"], ("a:b",), {"iterations": 20}, {}),
        (["serve.py", "--stacks", "-c", "1,2"], ("serve.py",), {"stacks": True}, {}),
        (["--replays", "3", "x.py"], ("x.py",), {}, {"replays": 3}),
        (["--timeout=5", "x.py"], ("x.py",), {"timeout": 5.0}, {"timeout": 5.0}),
        (["--cwd=here", "x.py"], ("x.py",), {"cwd": "here"}, {}),
        (["-n", "2", "--", "python", "-n", "x"], ("python", "-n", "x"), {"iterations": 2}, {}),
    ],
    ids=str,
)
def test_options_reach_whom_they_are_for(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    target: tuple[str, ...],
    record: dict[str, Any],
    verify: dict[str, Any],
) -> None:
    """Options of record or verify are passed to it, or to both, in any notation."""
    grids = list[Grid]()

    def stop(grid: Grid) -> dict[str, str]:
        grids.append(grid)
        raise UsageError("enough")

    monkeypatch.setattr("loadgen.cli.hunts._files", stop)
    with pytest.raises(UsageError, match="enough"):
        group_of(app)(["stress", *arguments], standalone_mode=False)
    (grid,) = grids
    assert grid.record == assemble(RunSpec, {"target": target, **record})
    assert grid.verify == assemble(VerifySpec, verify)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["stress", "--seeds", "x"], 2, "--seeds"),
        (["stress", "-c", "4..1"], 2, "--concurrency"),
        (["stress", "-c", "0"], 2, "--concurrency must be at least 1"),
        (["stress", "--time-budget", "soon"], 2, "--time-budget"),
        (["stress", "--seed", "3"], 2, "--seed"),
        (["stress", "--nosuch"], 2, "--nosuch"),
        (["stress", "nosuch.py"], 2, "nosuch.py"),
        (["stress", "--folder", "."], 2, "is not empty"),
        (["stress", "--cluster", "tls://x:1"], 2, "--tls-ca"),
        (["stress", "--cluster", "tls://x:1", "--tls-ca", "mine"], 2, "all three"),
        (["shrink"], 2, "no run in runs/"),
        (["shrink", "nosuch"], 2, "nosuch is not a run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told(
    loadgen: Shell, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    """stderr names the word concerned, and nothing is done or left behind."""
    (tmp_path / "mine").touch()
    said = loadgen(*arguments)
    assert (said.code, said.out) == (code, "")
    assert word in said.err
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_page_tells_what_the_summary_does() -> None:
    """The page has no script, no unfilled placeholder, and no markup from a trial."""
    grid = Grid(record=RunSpec(target=("<serve>.py",)), concurrency=(1, 8), seeds=(1, 2))
    results = Results(grid)
    for trial, result in zip(grid.trials(), (IDENTICAL, DIVERGED, LOST), strict=False):
        results.add(trial, result)
    found = results.summary("its time was up")
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


def test_a_summary_does_not_grow_with_its_search() -> None:
    """All of 5,000 failures of as many kinds are counted, and the first of them shown."""
    grid = Grid(record=RunSpec(target=("serve.py",)), concurrency=(8,), seeds=tuple(range(5000)))
    results = Results(grid)
    for trial in grid.trials():
        cause = replace(DIVERGED.causes[0], kind=f"kind {trial.seed}")
        results.add(trial, replace(DIVERGED, causes=(cause, DIVERGED.causes[0])))
    found = results.summary("all were made")
    assert (found.total.diverged, found.total.made, len(results)) == (5000, 5000, 5000)
    assert len(found.kinds) == len(found.failures) == KEPT
    assert (found.kinds[0].what, found.kinds[0].count) == (DIVERGED.causes[0].kind, 5000)
    assert len(json.dumps(found.to_json())) < 500_000
    page = render(found, "x", ["loadgen", "stress", "serve.py"], set(), version="1").decode()
    assert f"The first {KEPT} of 5000; trials.jsonl has all." in page
