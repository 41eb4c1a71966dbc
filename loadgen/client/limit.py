"""Time limits of requests, including their answers; and the end of all requests when a run is stopped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 5.0
"""Seconds that requests in progress have to finish after the run has been stopped."""


class Stopped(BaseException):
    """The run is over: no further request is issued, and requests in progress are cancelled."""


class Limits:
    """The limits of the requests of one session."""

    def __init__(self) -> None:
        self._open: set[anyio.CancelScope] = set()
        self._is_over = False

    def end(self) -> None:
        """Cancel all requests in progress."""
        self._is_over = True
        for scope in self._open:
            scope.cancel()

    @contextmanager
    def until(self, deadline: float, seconds: float | None) -> Iterator[None]:
        """Limit the body of the context to *deadline*, which is when *seconds* have passed.

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
            raise httpx.ReadTimeout(f"no complete answer in {seconds:g} s")
