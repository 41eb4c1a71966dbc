"""The request to stop a session, made by a person or a time limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Stopping(Protocol):
    """Says whether a stop was requested."""

    @property
    def requested(self) -> bool:
        """Whether a stop was requested: requests in progress are finished, no new one begins."""


@dataclass(slots=True)
class Stop:
    """Set to end the run: requests in progress are finished, no new one begins."""

    requested: bool = False


NEVER: Stopping = Stop()
"""Nobody requests a stop."""
