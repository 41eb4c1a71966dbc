"""Decides which of a file's requests are sent: those to the hosts that the server under test replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.client.traffic.call import Call, host

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.client.traffic.call import Notes

Found = tuple[str, str, Call]
"""A request with its URL's scheme and authority."""
ADVICE = "--host NAME plays the requests to that host; it may be given several times."


class Hosts:
    """The hosts whose requests are sent: the given ones, or that of the first request."""

    def __init__(self, given: Iterable[str], notes: Notes) -> None:
        self._wanted = {host(one.partition("://")[2] or one) for one in (each.rstrip("/") for each in given)}
        self._notes = notes

    def play(self, authority: str) -> bool:
        """Return whether requests to *authority* are sent; if not, count one that is left out."""
        name = host(authority)
        if not self._wanted:
            self._wanted.add(name)
        if name in self._wanted:
            return True
        self._notes.left_out[f"to {name}"] += 1
        self._notes.more.setdefault(ADVICE, 0)
        return False


def chosen(found: Iterable[Found], given: Iterable[str], notes: Notes) -> list[Call]:
    """Return the requests to the chosen hosts, and count the others."""
    hosts = Hosts(given, notes)
    return [call for _, authority, call in found if hosts.play(authority)]
