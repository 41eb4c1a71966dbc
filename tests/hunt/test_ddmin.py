"""Delta debugging: the result fails, and no part of it can be left out."""

from __future__ import annotations

from functools import partial

import anyio
from hypothesis import given
from hypothesis import strategies as st

from loadgen.hunt.ddmin import ddmin


@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=5))
def test_it_finds_exactly_what_is_needed(size: int, needed: set[int]) -> None:
    """Where a failure needs certain parts, those are what is left, in order; each list asked is in order."""
    needed = {part for part in needed if part < size}
    asked: list[list[int]] = []

    async def fails(parts: list[int]) -> bool:
        assert parts == sorted(parts)
        asked.append(parts)
        return needed <= set(parts)

    assert anyio.run(partial(ddmin, range(size), fails)) == sorted(needed)
    assert len(asked) <= size * size + 3 * size + 1


def test_alternatives() -> None:
    """Where either of two is enough, one is left: it cannot be made smaller; it need not be the smallest."""

    async def fails(parts: list[int]) -> bool:
        return 3 in parts or {5, 6} <= set(parts)

    assert anyio.run(partial(ddmin, range(8), fails)) in ([3], [5, 6])


def test_nothing_is_asked_of_nothing() -> None:
    """An empty list is its own smallest."""

    async def fails(_: list[int]) -> bool:
        raise AssertionError("asked")

    assert anyio.run(partial(ddmin, [], fails)) == []
