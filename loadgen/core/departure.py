"""A request that left the tape in a replay: why and where, as reported by the boundary."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Departure:
    """How one request left the tape."""

    code: str
    """The reason, one of the codes of :mod:`loadgen.protocol`; decisions depend only on it."""
    why: str
    """The reason in words."""
    stack: tuple[str, ...] = ()
    """The application's calls at that point, innermost first."""
    after: int | None = None
    """The first request that left the tape before this one, if any."""
    lost: int | None = None
    """The request that left the tape earlier, if an object or step of it is missing here."""

    @classmethod
    def from_json(cls, content: object) -> Departure:
        """Decode a report of the boundary.

        Raises:
            ValueError: *content* is not a valid report.
        """
        try:
            return msgspec.convert(content, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
