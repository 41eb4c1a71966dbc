"""What a command shows on a terminal's stderr while it works."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live

if TYPE_CHECKING:
    from rich.console import RenderableType


class LiveView:
    """Keeps one rendering up to date, and takes it away at the end; nothing where stderr is no terminal."""

    REFRESHED = 8
    """Times a second."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=self.REFRESHED,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            with suppress(RuntimeError):
                self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        raise NotImplementedError
