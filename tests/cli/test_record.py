"""The command ``record``: what it says beside its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.cli import main
from loadgen.core.spec import RunSpec

if TYPE_CHECKING:
    from pathlib import Path


def test_the_bundled_server_is_named(tmp_path: Path) -> None:
    """Who forgets to name the server beside its code learns that another one is recorded."""
    assert main._bundled_instead(RunSpec(), tmp_path) is None
    (tmp_path / "shop.py").touch()
    assert "loadgen init" in str(main._bundled_instead(RunSpec(), tmp_path))
    assert main._bundled_instead(RunSpec(target=("shop:app",)), tmp_path) is None
    (tmp_path / "server_app").mkdir()  # a checkout of loadgen
    assert main._bundled_instead(RunSpec(), tmp_path) is None
