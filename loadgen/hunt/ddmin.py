"""Delta debugging: reduces parts that fail together to a few that still fail (Zeller's ddmin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


async def ddmin(parts: Sequence[T], fails: Callable[[list[T]], Awaitable[bool]]) -> list[T]:
    """Return a minimal list of *parts* that still fails; all of *parts* together are assumed to fail.

    *fails* is called with smaller and smaller lists in the order of *parts*: first with one piece, then
    without one piece, with pieces of a half, a quarter and so on, down to a single part.
    """
    left = list(parts)
    pieces = 2
    if left and await fails([]):
        return []
    while len(left) > 1:
        cut = [left[len(left) * at // pieces : len(left) * (at + 1) // pieces] for at in range(pieces)]
        for at, piece in enumerate(cut):
            if await fails(piece):
                left, pieces = piece, 2
                break
            rest = [part for other, one in enumerate(cut) if other != at for part in one]
            if pieces > 2 and await fails(rest):  # noqa: PLR2004 - of two, the rest is the other one
                left, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if pieces == len(left):
                break
            pieces = min(pieces * 2, len(left))
    return left
