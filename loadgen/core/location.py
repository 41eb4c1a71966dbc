"""Locations in code, as ``file:line in function: text``, and which are the application's own. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSTALLED = re.compile(r"/(site|dist)-packages/|/lib/python3|^<frozen ")


def own_call(calls: Sequence[str]) -> str:
    """Return the innermost of *calls* outside installed libraries; the innermost if there is none."""
    return next((one for one in calls if not _INSTALLED.search(one)), calls[0] if calls else "")
