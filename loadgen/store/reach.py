"""What a verification reached: ``reach.json`` in its folder, see :class:`loadgen.core.reach.Reach`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from loadgen.core.reach import Reach

if TYPE_CHECKING:
    from pathlib import Path

NAME = "reach.json"


def write_reach(folder: Path, reach: Reach) -> None:
    """Write what a replay reached beside its verdict."""
    (folder / NAME).write_bytes(msgspec.json.encode(reach))


def read_reach(folder: Path) -> Reach | None:
    """Return what the verification in *folder* reached; None if that was not collected."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Reach, strict=False)
    except FileNotFoundError:
        return None
