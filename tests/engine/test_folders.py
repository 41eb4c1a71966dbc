"""Where the recorded application is now: a deleted file does not hide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.engine.folders import found
from loadgen.errors import RecordingFault, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ARGV = ("-m", "loadgen.traced.application", "shop:app")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the recorded folder, in which only the served file is left of three."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "shop.py").write_text("")
    return tmp_path / "there"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (ARGV, "shop.py"),
        (("-m", "shop"), "shop/web.py"),
        (("/anywhere/shop.py",), "shop.py"),
        (("bin/own",), "any.py"),
    ],
)
def test_what_is_served_is_enough_where_it_is_known(here: Path, argv: tuple[str, ...], name: str) -> None:
    """At the recorded place, and in a folder that is given; a place that is guessed has most of the files."""
    files = [str(here / one) for one in ("old.py", "older.py", name)]
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_text("")
    away = here.parent / "runs" / "r"
    assert found(str(here), files, argv, away, None) == str(here)
    moved = here.rename(here.parent / "moved")
    assert found(str(here), files, argv, away, str(moved)) == str(moved)
    with pytest.raises(RecordingFault, match=r"is not here: .*is neither there"):
        found(str(here), files, argv, moved / "runs" / "r", None)


def test_what_is_served_is_missed_by_its_name(here: Path) -> None:
    """Other files of the application are not enough, and the message names the one that is missing."""
    (here / "shop.py").rename(here / "old.py")
    files = [str(here / "old.py"), str(here / "shop.py")]
    with pytest.raises(RecordingFault, match=r"is not here: shop\.py is neither there"):
        found(str(here), files, ARGV, here.parent, None)
    with pytest.raises(UsageError, match=r"does not hold the recorded application: shop\.py$"):
        found(str(here), files, ARGV, here.parent, str(here))
