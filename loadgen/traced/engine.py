"""Runs the engine in this process, as the last step of starting a traced server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str], import_from: str | None) -> None:
    """Run the engine's command line with *arguments*; *import_from* is put first on ``sys.path``."""
    if import_from:
        sys.path.insert(0, import_from)

    from retracesoftware.__main__ import main  # noqa: PLC0415 - only now: it must see the workarounds

    sys.argv = ["retracesoftware", *arguments]
    main()
