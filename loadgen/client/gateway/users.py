"""Assigns requests to virtual users.

By default a user is a lane of open connections: a new connection takes the lowest number that no open one
uses, so eight workers that reconnect for each request remain eight users. If requests carry an identity, that
is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from loadgen.core.exchange import Headers


@dataclass(frozen=True, slots=True)
class UserBy:
    """The field of a request that identifies its user."""

    kind: str
    """``header`` or ``cookie``."""
    name: str

    @classmethod
    def parse(cls, text: str) -> UserBy:
        """Read ``header:NAME`` or ``cookie:NAME``.

        Raises:
            UsageError: it is neither.
        """
        kind, _, name = text.strip().partition(":")
        if kind not in {"header", "cookie"} or not name or not name.isascii() or not name.isprintable():
            raise UsageError(
                f"--user-by {text} is not a header or a cookie",
                advice="Give header:NAME (header:Authorization) or cookie:NAME (cookie:session).",
            )
        return cls(kind, name)

    def of(self, headers: Headers) -> str | None:
        """Return the identity in *headers*."""
        wanted = self.name.lower() if self.kind == "header" else "cookie"
        for name, value in headers:
            if name.lower() != wanted:
                continue
            if self.kind == "header":
                return value.rstrip()
            for pair in value.split(";"):
                key, equals, text = pair.strip().partition("=")
                if equals and key == self.name:
                    return text
        return None


class Users:
    """Numbers the virtual users."""

    def __init__(self, by: UserBy | None = None) -> None:
        self._by = by
        self._free: list[int] = []
        self._lanes = 0
        self._numbers: dict[Hashable, int] = {}

    def enter(self) -> int:
        """Return the lane of a connection that begins to send requests."""
        if self._free:
            return heappop(self._free)
        self._lanes += 1
        return self._lanes - 1

    def leave(self, lane: int) -> None:
        """Free the lane of a connection that ended."""
        heappush(self._free, lane)

    def of(self, lane: int, headers: Headers) -> int:
        """Return the number of the user who sends a request with *headers* on *lane*."""
        if self._by is None:
            return lane
        identity = self._by.of(headers)
        return self._numbers.setdefault(lane if identity is None else identity, len(self._numbers))
