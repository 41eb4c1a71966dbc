"""``loadgen check``: exit codes, and which invariants are checked without options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadgen.core.spec import InvariantSpec
from tests.cli.test_commands import Shell, loadgen
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["loadgen"]

MODEL = """
initial = 0

def step(count, request, answer):
    assert answer is None or answer.json["id"] == request.user
    return count
"""


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--unique", "json:$.id"], 0, "holds    unique json:$.id: 59 values"),
        (["--conserved", "json:$.id"], 1, "BROKEN   conserved json:$.id: request"),
        (["--unique", "json:$.nosuch"], 3, "unknown  unique json:$.nosuch: no answer has a value"),
        (["--unique", "json:$.nosuch", "--conserved", "json:$.id"], 1, "BROKEN"),
        (["--model", "model.py"], 1, "BROKEN   model model.py: request"),
    ],
    ids=str,
)
def test_exit_codes(loadgen: Shell, tmp_path: Path, options: list[str], code: int, says: str) -> None:
    """0: all hold, 1: one is broken, 3: one is undetermined, and none is broken."""
    make(tmp_path / "run", Sample(verified=False))
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    said = loadgen("check", "run", *options)
    assert (said.code, said.err) == (code, "")
    assert says in said.out


def test_what_the_run_was_recorded_with_is_checked(loadgen: Shell, tmp_path: Path) -> None:
    """Without options; a run that was recorded with none has nothing to check, which is no success."""
    run, manifest = make(tmp_path / "run", Sample(verified=False))
    said = loadgen("check", "run")
    assert (said.code, "nothing to check" in said.err) == (2, True)
    manifest.spec = replace(manifest.spec, invariants=InvariantSpec(conserved=("json:$.tags",)))
    run.save(manifest)
    said = loadgen("check", "run", "--json")
    assert said.code == 0
    assert [one["invariant"] for one in json.loads(said.out)] == ["conserved json:$.tags"]


def test_an_incomplete_run_does_not_hold(loadgen: Shell, tmp_path: Path) -> None:
    """What is broken in the part that there is, is broken; the rest is undetermined."""
    make(tmp_path / "run", Sample(cut=True))
    assert loadgen("check", "run", "--conserved", "json:$.id").code == 1
    said = loadgen("check", "run", "--unique", "json:$.id")
    assert (said.code, "the run is failed, not complete" in said.out) == (3, True)
