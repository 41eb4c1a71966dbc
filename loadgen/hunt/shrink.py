"""Shrink: reduce a failed run to the smallest workload that still fails.

First the requests around the first difference, if they suffice; then fewer virtual users, fewer requests,
less in each request, fewer waits: each by delta debugging, each candidate judged by the oracle.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from loadgen.errors import Undetermined
from loadgen.hunt.ddmin import ddmin
from loadgen.hunt.oracle import HALF, FailureRate
from loadgen.hunt.scenario_text import size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadgen.core.workload import Workload
    from loadgen.hunt.oracle import Oracle, ShrinkObserver

MARGINS = (0, 16, 64)
"""Numbers of earlier requests to keep in addition to those that overlapped with the failing one."""
FIRST = 0.3
"""Failure rate that the first candidates need nearly: later reductions bring clashing requests together."""
REPRODUCING = 30
"""Maximum number of trials of the original run until it fails again."""
BACK = 3
"""Number of last workloads of which the first that fails in half of its trials is chosen."""
TELLING = 3
"""Failures needed to estimate its failure rate."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest workload found."""

    original: Workload
    """The workload of the original run."""
    workload: Workload
    measured: FailureRate
    """Its failure rate at the end; without trials if it was interrupted before."""
    trials: int
    """Number of all trials."""
    candidates: int
    complete: bool
    """Whether nothing more can be left out; otherwise, time was up."""


async def shrink(
    original: Workload, head: int | None, oracle: Oracle, observer: ShrinkObserver, times: int, keep: Path
) -> Shrunk:
    """Return the smallest failing case of *whole*, in which the request *head* was the first to differ.

    At the end it is tried *times* times, and the files of one failure are kept in *keep*. If it fails in
    fewer than half of them, the larger case that it was made from is returned, if that fails more often.

    Raises:
        Undetermined: it could not be made to fail again.
    """
    search = _Search(original, oracle, observer)
    await search.begin(head)
    await search.fewer_users()
    await search.fewer_requests()
    await search.one_user()
    await search.less_in_requests()
    await search.without_links()
    complete = not oracle.is_over()
    workload, measured = await search.confirm(times, keep)
    return Shrunk(original, workload, measured, oracle.trials, oracle.candidates, complete)


class _Search:
    def __init__(self, original: Workload, oracle: Oracle, observer: ShrinkObserver) -> None:
        self._smaller = [original]
        self._original = original
        self._oracle = oracle
        self._observer = observer

    async def _try(self, make: Callable[[], Workload]) -> bool:
        """Continue from the candidate that *make* returns if it still fails; try nothing when time is up."""
        if self._oracle.is_over():
            return False
        candidate = make()
        if not await self._oracle.fails(candidate):
            return False
        self._smaller.append(candidate)
        return True

    @property
    def workload(self) -> Workload:
        """The smallest failing workload so far."""
        return self._smaller[-1]

    async def begin(self, head: int | None) -> None:
        """Find the starting point: the requests around the first difference, or else all requests."""
        self._observer.phase("what stood around the first difference")
        self._oracle.expect(FIRST)
        if head is not None:
            for near in (
                self._original.meeting(head),
                *(self._original.around(head, one) for one in MARGINS),
            ):
                if len(near.steps) < len(self._original.steps) and await self._try(partial(replace, near)):
                    return
        self._observer.phase("the whole run again")
        failures = 0

        def see(failed: bool) -> None:  # noqa: FBT001 - one outcome
            nonlocal failures
            failures += failed

        measured = await self._oracle.measure(
            self._original, lambda: failures >= TELLING or self._oracle.is_over(), see, most=REPRODUCING
        )
        if not measured.failures:
            raise Undetermined(
                f"the run did not fail again in {measured.trials} trials with its requests in their order",
                advice="The failure may need more load or time than these requests: run loadgen stress with "
                "the same settings, and shrink another failing run.",
            )
        self._observer.tried("all of it", measured, kept=True)
        self._oracle.expect(measured.rate)

    async def fewer_users(self) -> None:
        """Remove virtual users, except requests that other users depend on."""
        self._observer.phase("fewer virtual users")
        workload = self.workload

        def of(users: list[int]) -> Workload:
            return workload.only({step.seq for step in workload.steps if step.user in users})

        await ddmin(workload.users, lambda users: self._try(lambda: of(users)))

    async def fewer_requests(self) -> None:
        """Remove requests, except those that others take values from."""
        self._observer.phase("fewer requests")
        workload = self.workload
        await ddmin(
            [step.seq for step in workload.steps], lambda seqs: self._try(lambda: workload.only(set(seqs)))
        )

    async def one_user(self) -> None:
        """Let one user send everything in sequence; failing that, merge pairs of users."""
        self._observer.phase("fewer at a time")
        if len(self.workload.users) == 1 or await self._try(self.workload.in_sequence):
            return
        again = True
        while again and len(self.workload.users) > 2:  # noqa: PLR2004 - of two, one was tried already
            pairs = [
                (user, into) for user in self.workload.users for into in self.workload.users if user != into
            ]
            again = False
            for user, into in pairs:
                if await self._try(partial(self.workload.merged, user, into)):
                    again = True
                    break

    async def less_in_requests(self) -> None:
        """Remove parts of requests, and waits."""
        self._observer.phase("less in each request")
        workload = self.workload
        parts = workload.parts()
        await ddmin(parts, lambda kept: self._try(lambda: workload.less(set(parts) - set(kept))))

    async def without_links(self) -> None:
        """Remove requests whose answers can be replaced by the recorded values."""
        self._observer.phase("fewer requests, once more")
        for seq in sorted(self.workload.seqs, reverse=True):
            if len(self.workload.steps) > 1:
                await self._try(partial(self.workload.without, {seq}))

    async def confirm(self, times: int, keep: Path) -> tuple[Workload, FailureRate]:
        """Measure how often the smallest case fails, or one before it that fails in half of its trials."""
        self._observer.phase("how often it fails")
        best: tuple[Workload, FailureRate] | None = None
        sizes = {len(workload.parts()) + len(workload.steps): workload for workload in self._smaller}
        for workload in [*reversed(list(sizes.values()))][:BACK]:
            measured = await self._oracle.measure(
                workload, lambda: False, lambda _: None, most=times, keep=keep.with_name(f"{keep.name}.new")
            )
            self._observer.tried(size(workload), measured, kept=measured.rate >= HALF)
            if best is None or measured.rate > best[1].rate:
                best = workload, measured
                _replace(keep.with_name(f"{keep.name}.new"), keep)
            if measured.rate >= HALF or not measured.trials:
                break
        assert best is not None
        return best


def _replace(new: Path, old: Path) -> None:
    if new.exists():
        shutil.rmtree(old, ignore_errors=True)
        new.rename(old)
