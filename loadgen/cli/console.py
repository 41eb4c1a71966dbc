"""Consoles: one that renders a result as text, as wide as the terminal, and one for progress."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from rich.console import Console

PIPED = 120
"""Width of a result in columns, if the output is not a terminal."""


_LITERAL: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
"""Names are the user's: ``shop:factory`` is not an emoji."""


def on_stderr(*, quiet: bool = False) -> Console:
    """Return a console for progress, which prints text as it is."""
    return Console(stderr=True, quiet=quiet, **_LITERAL)


class TextConsole(Console):
    """Collects printed text; keeps colours only for a terminal."""

    def __init__(self, width: int | None = None) -> None:
        is_terminal = sys.stdout.isatty()
        self._text = StringIO()
        super().__init__(
            file=self._text,
            force_terminal=is_terminal,
            width=width or (Console().width if is_terminal else PIPED),
            **_LITERAL,
        )

    def text(self) -> str:
        """Return the printed text, without spaces at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._text.getvalue().rstrip().splitlines())
