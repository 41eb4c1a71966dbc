"""Relocation: where the folders that a recording names are now. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen import protocol


@dataclass(frozen=True, slots=True)
class Relocation:
    """Which recorded folders are elsewhere now."""

    pairs: tuple[tuple[str, str], ...] = ()
    """The recorded folder, and the one of now; only where they differ."""

    def here(self, path: str) -> str:
        """Return where the recorded *path* is now."""
        return protocol.relocated(path, [*self.pairs])


IN_PLACE = Relocation()
"""Everything is where it was recorded."""
