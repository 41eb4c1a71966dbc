"""What replays reached, as coverage.py reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from coverage import CoverageData

from loadgen.core.reach import Reach
from loadgen.errors import UsageError
from loadgen.report import coverage

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_have_the_context_of_their_request(tmp_path: Path) -> None:
    """The data file says which request reached a line; a source file that none reached counts, too."""
    source, unreached = tmp_path / "shop.py", tmp_path / "unused.py"
    source.write_text("def a():\n    return 1\n\ndef b():\n    return 2\n")
    unreached.write_text("x = 1\n")
    reach = Reach(
        sets=[{str(source): [2]}], calls=[], requests={1: (0, []), 2: (0, [])}, other={str(source): [1, 4]}
    )
    file = tmp_path / "data"
    coverage.check(file)
    covered = coverage.write(file, {"run": reach}, [str(source), str(unreached)])
    assert [(one.statements, one.missing) for one in covered] == [(4, (5,)), (1, (1,))]
    assert [one.share for one in covered] == [0.75, 0.0]
    data = CoverageData(basename=str(file))
    data.read()
    of = data.contexts_by_lineno(str(source))
    assert sorted(of[2]) == ["run request 1", "run request 2"]
    assert of[1] == ["run start"]
    coverage.check(file)  # it may be replaced


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    """A file that coverage.py did not write is refused, before anything is started."""
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    for file in (mine, tmp_path, tmp_path / "missing" / "data"):
        with pytest.raises(UsageError):
            coverage.check(file)
    assert mine.read_text() == "mine"
