"""Time limits of requests, including their answers; and the end of all requests when a run is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx

if TYPE_CHECKING:
    from types import TracebackType

GRACE = 5.0
"""Seconds that requests in progress have to finish after the run has been stopped."""


class Stopped(BaseException):
    """The run is over: no further request is issued, and requests in progress are cancelled."""


class Limits:
    """The limits of the requests of one session."""

    def __init__(self) -> None:
        self.open: set[anyio.CancelScope] = set()
        """The scopes of the requests in progress."""
        self.is_over = False

    def end(self) -> None:
        """Cancel all requests in progress."""
        self.is_over = True
        for scope in self.open:
            scope.cancel()

    def until(self, deadline: float, seconds: float | None) -> RequestLimit:
        """Limit the body of the context to *deadline*, which is when *seconds* have passed.

        Raises:
            httpx.ReadTimeout: it took longer.
            Stopped: the run has been stopped meanwhile.
        """
        return RequestLimit(self, anyio.CancelScope(deadline=deadline), seconds)


class RequestLimit:
    """The limit of one request, as a context; a class, because a generator takes twice as long."""

    __slots__ = ("_limits", "_scope", "_seconds")

    def __init__(self, limits: Limits, scope: anyio.CancelScope, seconds: float | None) -> None:
        self._limits = limits
        self._scope = scope
        self._seconds = seconds

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._limits.open.add(self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._limits.open.discard(self._scope)
        handled = self._scope.__exit__(kind, error, trace)
        if self._scope.cancelled_caught:
            if self._limits.is_over:
                raise Stopped("the run was stopped")
            raise httpx.ReadTimeout(f"no complete answer in {self._seconds:g} s")
        return handled
