"""Live output on stderr while a command works, if it is a terminal."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.live import Live

from loadgen.cli.console import on_stderr

if TYPE_CHECKING:
    from rich.console import RenderableType


class LiveView:
    """Keeps one rendering up to date, and removes it at the end; does nothing if stderr is not a terminal."""

    REFRESHED = 8
    """Updates per second."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = on_stderr()
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
