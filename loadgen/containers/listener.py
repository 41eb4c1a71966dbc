"""Listens to a load generator in a container: passes its events on, and keeps how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen import errors
from loadgen.core.events import Failed, SessionEnd, from_line

if TYPE_CHECKING:
    from loadgen.core.events import Emit


class Listener:
    """Takes the lines that a container prints."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.end: SessionEnd | None = None
        self.error: errors.LoadgenError | None = None

    def hear(self, line: str) -> None:
        """Take one line; one that is not an event is left out."""
        event = from_line(line.encode())
        match event:
            case None:
                return
            case Failed():
                self.error = errors.from_event(event.kind, event.message, event.advice)
            case SessionEnd():
                self.end = event
        self._emit(event)
