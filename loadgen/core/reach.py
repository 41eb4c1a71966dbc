"""What a replay reaches: lines of the application's own code, and kinds of calls, by request."""

from __future__ import annotations

import msgspec

Lines = dict[str, list[int]]
"""Numbers of lines by file, in order."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What one replay reached."""

    sets: list[Lines]
    """The sets of lines that requests reached; requests of a kind often reach the same."""
    calls: list[str]
    """The kinds of calls: a statement's text, and the name of any other callable."""
    requests: dict[int, tuple[int, list[int]]]
    """Of each request by its number: the index of its set, and the indices of its kinds of calls."""
    other: Lines
    """Lines reached by the start of the application, and by threads that belong to no request."""

    def lines(self, seq: int) -> Lines:
        """Return the lines that request *seq* reached."""
        return self.sets[self.requests[seq][0]]

    def kinds(self, seq: int) -> list[str]:
        """Return the kinds of calls that request *seq* made."""
        return [self.calls[at] for at in self.requests[seq][1]]
