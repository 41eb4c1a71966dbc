"""Delta debugging: from parts that fail together to few of them that still do (Zeller's ddmin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


async def ddmin(parts: Sequence[T], fails: Callable[[list[T]], Awaitable[bool]]) -> list[T]:
    """Return some of *parts* that fail, and of which none can be left out; all of them do, so it is taken.

    *fails* is asked of ever smaller lists in the order of *parts*: first whether one piece of all is enough,
    then whether one can be left out, with pieces of a half, a quarter and so on, down to a single part.
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
