"""Relocation: the current locations of the folders that a recording names. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen import protocol


@dataclass(frozen=True, slots=True)
class Relocation:
    """The recorded folders that have moved."""

    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of the recorded and the current folder, where they differ."""

    def here(self, path: str) -> str:
        """Return the current location of the recorded *path*."""
        return protocol.relocated(path, [*self.pairs])


IN_PLACE = Relocation()
"""No folder has moved."""
