"""Departure: that a request left the tape in a replay, why, and where. What the boundary reports of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Departure:
    """How one request left the tape."""

    code: str
    """Why, as one of the codes of :mod:`loadgen.protocol`: everything is decided on it."""
    why: str
    """The same for people."""
    stack: tuple[str, ...] = ()
    """The application's calls at that point, innermost first."""
    after: int | None = None
    """The first request that had left the tape before this one, if any had."""
    lost: int | None = None
    """The request that left the tape before, if what it would have made or done is missing here."""

    @classmethod
    def from_json(cls, content: object) -> Departure:
        """Return what the boundary reports as *content*.

        Raises:
            ValueError: it is not such a report.
        """
        try:
            return msgspec.convert(content, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
