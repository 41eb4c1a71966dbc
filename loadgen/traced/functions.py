"""The functions that the application's own code defines now."""

from __future__ import annotations

import sys
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

OWN_FUNCTIONS: set[str] = set()
"""Their qualified names."""


def note_functions(code: CodeType) -> None:
    """Note the functions in the *code* of a module."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            OWN_FUNCTIONS.add(one.co_qualname)
            note_functions(one)


def runs(function: str) -> bool:
    """Return whether the calling thread runs a function of this qualified name."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_qualname == function:
            return True
        frame = frame.f_back
    return False
