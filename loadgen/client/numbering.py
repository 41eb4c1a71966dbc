"""Gives each virtual user the numbers that its requests had in an earlier recording."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE = 0.5
"""Seconds without a request after which the order is given up: the next user may never send one."""


class Numbering:
    """The order in which virtual users send requests: *users*, by the number of the request.

    What a script says of request 7 holds only if the same user sends request 7 again. Which user sends the
    next request depends on which answer arrives first, and that changes from one recording to the next.
    """

    def __init__(self, users: Iterable[int]) -> None:
        self._left = deque(users)
        self._changed = anyio.Event()

    async def turn(self, user: int) -> None:
        """Wait until *user* sends the next request; it has to number it before it awaits anything."""
        while self._left and self._left[0] != user:
            changed = self._changed
            with anyio.move_on_after(PATIENCE):
                await changed.wait()
            if not changed.is_set():
                self._left.clear()
                self._wake()
        if self._left:
            self._left.popleft()
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
