"""A console that renders a result into text, as wide as the terminal that the text is for."""

from __future__ import annotations

import sys
from io import StringIO

from rich.console import Console

PIPED = 120
"""Width of a result in columns, if the output is not a terminal."""


class TextConsole(Console):
    """Collects what is printed on it; colours are kept only for a terminal."""

    def __init__(self, width: int | None = None) -> None:
        is_terminal = sys.stdout.isatty()
        self._text = StringIO()
        super().__init__(
            file=self._text,
            force_terminal=is_terminal,
            highlight=False,
            width=width or (Console().width if is_terminal else PIPED),
        )

    def text(self) -> str:
        """Return what was printed, without spaces at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._text.getvalue().rstrip().splitlines())
