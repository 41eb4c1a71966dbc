"""``loadgen doctor``: which server it examines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core.spec import RunSpec
from loadgen.doctor import chosen

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = "from flask import Flask\napp = Flask(__name__)\n"


def test_the_application_of_the_folder_is_chosen(tmp_path: Path) -> None:
    """One is examined; if there are more of the same kind, they are named, with the command."""
    spec = RunSpec(cwd=str(tmp_path))
    (tmp_path / "shop.py").write_text(APPLICATION)
    found, notes = chosen(spec)
    assert found.target == ("shop:app",)
    assert not notes
    (tmp_path / "store.py").write_text(APPLICATION)
    (note,) = chosen(spec)[1]
    assert (note.what, note.advice) == (
        "also found: store:app",
        "to examine another: loadgen doctor store:app",
    )
