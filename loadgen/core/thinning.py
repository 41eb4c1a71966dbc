"""Which recordings, and which requests in them, add nothing to the others: a cover, chosen greedily.

What a request reaches is a set of features: lines of the application's code, its route with the status of
its answer, and the kinds of calls that it makes. The run that adds most is taken first, then the one that
adds most to it, and so on. A run that is not taken adds nothing. The same is done with the requests of each
run that is taken. A smaller cover may exist: finding the smallest takes exponential time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    Feature = tuple[str, Hashable]
    """Its kind, one of :data:`KINDS`, and what it is."""

N = TypeVar("N")
KINDS = ("line", "route", "call")


@dataclass(frozen=True, slots=True)
class ThinnedRun:
    """What a run adds to those taken before it."""

    name: str
    requests: int
    adds: dict[str, int]
    """Number of features by kind."""
    kept: bool
    spare: tuple[int, ...]
    """Its requests that add nothing to its other requests."""

    @property
    def proposal(self) -> str:
        """What to do with it."""
        return "keep" if self.kept else "adds nothing: may be removed"


@dataclass(frozen=True, slots=True)
class Thinned:
    """A proposal."""

    runs: tuple[ThinnedRun, ...]
    """In the order in which they are taken; those that add nothing last."""
    unknown: dict[str, str]
    """Runs about which nothing is known, and why."""


def thin(
    runs: Mapping[str, Mapping[int, frozenset[Feature]]], unknown: Mapping[str, str] | None = None
) -> Thinned:
    """Propose which of *runs*, and which of their requests, add nothing.

    *runs* has the features of each request; request 0 stands for the start of the application.
    """
    whole = {name: frozenset().union(*requests.values()) for name, requests in runs.items()}
    result = []
    for name, new in _cover(whole):
        adds = {kind: sum(one[0] == kind for one in new) for kind in KINDS}
        requests = {seq: found for seq, found in runs[name].items() if seq}
        started = runs[name].get(0, frozenset())
        spare = [seq for seq, more in _cover(requests, started) if not more] if new else []
        result.append(ThinnedRun(name, len(requests), adds, bool(new), tuple(sorted(spare))))
    return Thinned(tuple(result), dict(unknown or {}))


def _cover(
    sets: Mapping[N, frozenset[Feature]], covered: frozenset[Feature] = frozenset()
) -> list[tuple[N, frozenset[Feature]]]:
    """Return the names of *sets* with what each adds to *covered* and those before it; the most first."""
    order, left, seen = [], dict(sets), set(covered)
    # Equal sets are looked at once: a run has many requests of a few kinds.
    while left:
        gains = {found: len(found - seen) for found in set(left.values())}
        name = max(left, key=lambda one: gains[left[one]])
        new = left.pop(name) - seen
        if not new:
            order.append((name, new))
            order += [(one, frozenset()) for one in left]
            break
        seen |= new
        order.append((name, new))
    return order
