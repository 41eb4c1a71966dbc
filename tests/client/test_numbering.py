"""Requests get the numbers that they had: each virtual user waits for those that sent before it."""

from __future__ import annotations

import anyio
import pytest

from loadgen.client import numbering
from loadgen.client.numbering import Numbering

pytestmark = pytest.mark.anyio


async def numbered(order: list[int], *ready: tuple[int, ...]) -> list[int]:
    """Return the users in the order in which they sent; of each group of *ready*, all want to at once."""
    sent = list[int]()
    by = Numbering(order)

    async def send(user: int) -> None:
        await by.turn(user)
        sent.append(user)

    async with anyio.create_task_group() as users:
        for some in ready:
            for user in some:
                users.start_soon(send, user)
            await anyio.wait_all_tasks_blocked()
    return sent


async def test_the_order_is_that_of_before() -> None:
    """Whoever is ready first; what comes after the last known request is sent at once."""
    assert await numbered([2, 0, 1, 0], (0, 1), (2,), (0,)) == [2, 0, 1, 0]
    assert await numbered([1, 0], (0,), (1,), (0, 1)) == [1, 0, 0, 1]
    assert await numbered([], (1, 0)) == [1, 0]


async def test_who_never_comes_is_not_awaited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on, the order is left to chance."""
    monkeypatch.setattr(numbering, "PATIENCE", 0.01)
    assert await numbered([0, 5, 1, 2], (2, 1), (0,)) == [0, 2, 1]
