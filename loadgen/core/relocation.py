"""Relocation: the current locations of what a recording names. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen import protocol


@dataclass(frozen=True, slots=True)
class Relocation:
    """Where the replay finds what the recording names."""

    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of the recorded and the current folder, where they differ."""
    python: str = ""
    """The path of the interpreter that runs the server now; empty: loadgen's own."""

    def here(self, path: str) -> str:
        """Return the current location of the recorded *path*."""
        return protocol.relocated(path, [*self.pairs])


IN_PLACE = Relocation()
"""No folder has moved."""
