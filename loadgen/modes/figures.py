"""Emits the figures of a journal during a session."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from loadgen.core.events import Figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadgen.core.events import Emit
    from loadgen.store.journal import Journal

EVERY = 0.2
"""Seconds between two checks."""


@asynccontextmanager
async def sampled(
    journal: Journal, emit: Emit, *, total: int | None = None, until: float | None = None
) -> AsyncIterator[None]:
    """Emit the figures of *journal* a few times a second, and once more at the end.

    *total* requests are expected, and nothing begins after *until* seconds, if known.
    """

    def now() -> None:
        emit(
            Figures(
                requests=journal.requests,
                total=total,
                elapsed=journal.elapsed,
                until=until,
                failures=journal.failures,
                statuses=dict(journal.statuses),
                p50=journal.latency.percentile(50),
                p99=journal.latency.percentile(99),
            )
        )

    async def keep_on() -> None:
        while True:
            now()
            await anyio.sleep(EVERY)

    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(keep_on)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    now()
