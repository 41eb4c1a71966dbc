"""Changes a sealed file and seals it again, to test the checks after the seal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadgen.store import sealed

if TYPE_CHECKING:
    from pathlib import Path


def reseal(path: Path, content: dict[str, Any] | None = None, **changes: Any) -> None:
    """Write *content*, by default what is at *path*, with *changes* in it."""
    sealed.write(path, {**(json.loads(path.read_text()) if content is None else content), **changes})
