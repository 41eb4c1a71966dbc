"""How long a request may take, all of it; and the end of all of them, when the run has been stopped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 5.0
"""Seconds that requests under way have to finish once the run has been stopped."""


class Stopped(BaseException):
    """The run is over: no further request is issued, and what is under way is given up."""


class Limits:
    """The limits of the requests of one session."""

    def __init__(self) -> None:
        self._open: set[anyio.CancelScope] = set()
        self._is_over = False

    def end(self) -> None:
        """Give up every request that is under way."""
        self._is_over = True
        for scope in self._open:
            scope.cancel()

    @contextmanager
    def until(self, deadline: float, seconds: float | None) -> Iterator[None]:
        """Let what is done here take until *deadline*, which is when *seconds* have passed.

        Raises:
            httpx.ReadTimeout: it took longer.
            Stopped: the run has been stopped meanwhile.
        """
        with anyio.CancelScope(deadline=deadline) as scope:
            self._open.add(scope)
            try:
                yield
            finally:
                self._open.discard(scope)
        if scope.cancelled_caught:
            if self._is_over:
                raise Stopped("the run was stopped")
            raise httpx.ReadTimeout(f"no whole answer in {seconds:g} s")
