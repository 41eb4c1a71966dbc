"""One recorded session: virtual users, concurrently, against a server that is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol

import anyio
import httpx

from loadgen.client.recording import RecordingTransport, Stopped
from loadgen.client.scenario import User
from loadgen.client.wire import WireTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.recording import Notes
    from loadgen.client.scenario import Scenario


class Stopping(Protocol):
    """Says whether the run shall end."""

    @property
    def requested(self) -> bool:
        """Whether it shall: requests under way are finished, none is begun."""


@dataclass(slots=True)
class Stop:
    """Set when the run shall end: requests under way are finished, none is begun."""

    requested: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of the iterations."""

    iterations: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """How often each error ended an iteration."""

    def fail(self, error: Exception) -> None:
        """Count an iteration that *error* ended."""
        self.failed += 1
        what = f"{type(error).__name__}: {error}"
        self.errors[what] = self.errors.get(what, 0) + 1


async def fire(
    url: str,
    scenario: Scenario,
    journal: Notes,
    *,
    concurrency: int,
    iterations: int,
    seed: int,
    timeout: float,  # noqa: ASYNC109 - of each request, enforced by the transport
    stop: Stopping,
    say: Callable[[str], None],
) -> Outcome:
    """Let *concurrency* virtual users run *scenario* against *url*, *iterations* times each."""
    outcome = Outcome()

    async def live(number: int) -> None:
        transport = RecordingTransport(WireTransport(), journal, number, lambda: stop.requested)
        async with httpx.AsyncClient(
            transport=transport, base_url=url, timeout=timeout, trust_env=False
        ) as http:
            user = User(number, concurrency, http, Random(f"{seed}/{scenario.name}/{number}"), say)
            for _ in range(iterations):
                try:
                    await scenario.run(user)
                except Stopped:
                    return
                except Exception as error:  # noqa: BLE001 - it ends this iteration, never the run
                    outcome.fail(error)
                outcome.iterations += 1

    async with anyio.create_task_group() as users:
        for number in range(concurrency):
            users.start_soon(live, number)
    return outcome
