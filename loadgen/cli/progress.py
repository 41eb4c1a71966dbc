"""Live progress on a terminal's stderr: a subscriber of a session's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from loadgen.cli.live import LiveView
from loadgen.core.events import Figures, Note, Stage, Story
from loadgen.core.history import SERVER_ERRORS

if TYPE_CHECKING:
    from loadgen.core.events import Event


class Progress(LiveView):
    """Shows stage and figures if stderr is a terminal; notes and lines of a scenario always."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._stage = ""
        self._figures = Figures()

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        match event:
            case Stage(what=what):
                self._stage, self._figures = what, Figures()
            case Figures():
                self._figures = event
            case Story(line=line) | Note(line=line) if not self._quiet:
                # A client's output is passed on as it is: breaking its lines would damage paths and JSON.
                self._console.print(line, soft_wrap=True)

    def _render(self) -> Text:
        text = Text(f"{self._stage} …", style="bold")
        figures = self._figures
        if figures.until is not None:
            text.append(f"  {max(0.0, figures.until - figures.elapsed):.0f} s left", style="not bold")
        if figures.requests:
            of = f"/{figures.total}" if figures.total else ""
            rate = figures.requests / max(figures.elapsed, 1e-9)
            errors = sum(count for status, count in figures.statuses.items() if status in SERVER_ERRORS)
            text.append(
                f"  {figures.requests}{of} requests  {rate:.0f}/s  p50 {figures.p50 * 1000:.1f} ms  "
                f"p99 {figures.p99 * 1000:.1f} ms",
                style="not bold",
            )
            bad = figures.failures + errors
            text.append(f"  {bad} errors", style="not bold red" if bad else "not bold")
        return text
