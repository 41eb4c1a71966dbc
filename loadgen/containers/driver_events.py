"""The events of a load generator in a container: forwarded, with its result or error kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen import errors
from loadgen.core.events import Failed, SessionEnd, from_line

if TYPE_CHECKING:
    from loadgen.core.events import Emit


class DriverEvents:
    """Decodes the lines that the driver's container prints."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.end: SessionEnd | None = None
        self.error: errors.LoadgenError | None = None

    def hear(self, line: str) -> None:
        """Handle one line; lines that are not events are ignored."""
        event = from_line(line.encode())
        match event:
            case None:
                return
            case Failed():
                self.error = errors.from_event(event.kind, event.message, event.advice)
            case SessionEnd():
                self.end = event
        self._emit(event)
