"""From a failure to the fewest requests and preemptions that still fail, and the two lines that clash.

Each candidate is recorded again, from a script of its choices, because only a recording proves that it fails.
If more than one preemption is needed, no explanation is given.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.core import schedules
from loadgen.core.jobs import Verify
from loadgen.core.schedules import FIRST
from loadgen.core.spec import VerifySpec
from loadgen.core.verdict import Judgement
from loadgen.hunt import trial
from loadgen.hunt.ddmin import ddmin
from loadgen.hunt.fleet import LocalFleet
from loadgen.hunt.races.fewer import ScriptedRequests
from loadgen.hunt.races.hunting import SMALLEST, exploring
from loadgen.hunt.races.likely import as_likely, elsewhere, likely
from loadgen.hunt.races.trial import Tried, attempt
from loadgen.store.verification import read_verdict, verifications

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadgen.core.spec import Load, RunSpec
    from loadgen.core.stop import Stop
    from loadgen.hunt.races.hunting import Setting

AGAIN = 2
"""Number of recordings without failure after which the schedule that was found counts as not failing."""
LIKELY = 30
"""Number of recordings of schedules with a single preemption, before preemptions are left out one by one."""
FEWER = 30
"""Number of recordings to leave switches, or requests, out; then the fewest that still failed are taken."""
OFTEN = 3
"""Recordings until the threads run in the order that was asked for."""
REPLAYS = 20
FIRST_REPLAYS = 2
"""Number of replays after which a failure that never replays is not replayed again."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A race with one preemption: the line that was stopped, and the line that ran in between."""

    stopped: int
    at: str
    """Where the thread was stopped: the line that it would have run next, or was in the middle of."""
    inside: bool
    """Whether it was in the middle of that line, between reading and writing."""
    after: str
    """The last line that it had run."""
    other: int
    ran: str
    """The line of the other thread that is needed for the failure."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The reduced failure."""

    spec: RunSpec
    """What to record, with as few requests as needed to fail."""
    tried: Tried
    """The recording of the smallest failing schedule."""
    script: tuple[schedules.Choice, ...]
    pair: Pair | None
    trials: int
    repeats: bool
    """Whether the schedule of the failure failed again when it was repeated."""
    replays: tuple[int, int]
    """Number of identical replays, and of all."""
    is_minimal: bool = True
    """Whether it failed with none of its switches left out; false if the search ended before."""


class Narrowing:
    """The search in one failure; *stop* ends it early, with the smallest failure found until then."""

    def __init__(
        self, setting: Setting, spec: RunSpec, found: Tried, stop: Stop, see: Callable[[str], None]
    ) -> None:
        self._setting = setting
        self._spec = spec
        self._kinds = found.kinds
        self._smallest = found
        self._stop = stop
        self._see = see
        self._work = setting.folder / "narrowing"
        # A schedule can be repeated only where all else is the same.
        self._here = setting.fleet if isinstance(setting.fleet, LocalFleet) else LocalFleet(1)
        self.is_minimal = True
        self.trials = 0

    async def narrow(self) -> Narrowed:
        """Cut the failure down, and replay it."""
        async with self._here:
            script, pair, repeats = await self._narrow()
            shutil.rmtree(self._work, ignore_errors=True)
            if not self._stop.requested:
                self._see(f"replaying it {REPLAYS} times")
            replays = await self._replayed()
        return Narrowed(
            self._spec, self._smallest, tuple(script), pair, self.trials, repeats, replays, self.is_minimal
        )

    async def _narrow(self) -> tuple[list[schedules.Choice], Pair | None, bool]:
        """Return the script, the two lines, and whether the schedule of the failure failed again."""
        shutil.rmtree(self._work, ignore_errors=True)  # of a search that was interrupted
        script = single = await self._one_preemption()
        if script is None:
            script = await self._fewer_preemptions()
            if script is None:
                return self._smallest.choices, None, False
            if single := await self._one_preemption():
                # Without slow calls and other switches, it can be explained.
                script, self.is_minimal = single, True
        script = await self._fewer_requests(script)
        if single is not None and any(choice.kind == "end" for choice in script):
            script = await self._fewer_meanwhile(script)
        script = self._as_made(script)
        left = [choice for choice in script if choice.is_preemption]
        others = [choice for choice in script if not choice.is_preemption]
        several = any(choice.kind == "end" for choice in others)  # threads that run while it is stopped
        explained = len(left) == 1 and not several and not any(choice.is_timing for choice in others)
        pair = await self._pair(others, left[0]) if explained else None
        return script, pair, True

    async def _one_preemption(self) -> list[schedules.Choice] | None:
        """Return a script with a single preemption that fails, if one of the likely ones does."""
        until = self.trials + LIKELY
        for one in likely(self._smallest.entries, self._smallest.users, self._failed()):
            if self.trials >= until or self._stop.requested:
                return None
            script = ScriptedRequests(tuple(one.choices()), self._smallest.users)
            if (proved := await self._proved(script, self._spec)) is not None:
                order = [choice for choice in proved.choices if choice.kind == "start"]
                fails_without = self._keep_proof(await self._record(order))
                return order if fails_without else list(proved.choices)
        return None

    async def _fewer_meanwhile(self, choices: list[schedules.Choice]) -> list[schedules.Choice]:
        """Return *choices* with as few threads that run during their only preemption as fail."""
        least, until = choices, self.trials + FEWER
        whole = as_likely(choices, self._smallest.entries)

        async def fails(some: Sequence[int]) -> bool:
            nonlocal least
            if not some or self._is_over(until):
                return False
            fewer = dataclasses.replace(whole, meanwhile=tuple(some)).choices()
            if not self._keep_proof(await self._record(fewer)):
                return False
            least = fewer
            return True

        await ddmin(whole.meanwhile, fails)
        return least

    async def _fewer_preemptions(self) -> list[schedules.Choice] | None:
        """Return the choices that were made with as few preemptions as fail; None: made again, they hold."""
        choices = self._smallest.choices
        if not await self._fails_again(choices):
            return None
        others = [choice for choice in choices if not choice.is_preemption]
        preemptions = [choice for choice in choices if choice.is_preemption]
        order = [choice for choice in others if choice.kind == "start"]
        if await self._fails([*order, *preemptions]):
            others = order
        until = self.trials + FEWER

        async def fails(some: list[schedules.Choice]) -> bool:
            return not self._is_over(until) and await self._fails([*others, *some])

        return [*others, *await ddmin(preemptions, fails)]

    def _is_over(self, until: int) -> bool:
        if self.trials < until and not self._stop.requested:
            return False
        self.is_minimal = False
        return True

    async def _fewer_requests(self, choices: Sequence[schedules.Choice]) -> list[schedules.Choice]:
        """Leave out virtual users, then later iterations, as long as it fails; return what is left."""
        least = ScriptedRequests(tuple(self._as_made(choices)), self._smallest.users)
        until = self.trials + FEWER

        async def fails(fewer: ScriptedRequests, load: Load) -> bool:
            nonlocal least
            if self.trials >= until or self._stop.requested or fewer.preemptions < least.preemptions:
                return False
            proved = await self._proved(fewer, replace(self._spec, load=load))
            least = proved or least
            return proved is not None

        async def fails_with(others: Sequence[int]) -> bool:
            only = needed.union(others)
            load = replace(self._spec.load, only=tuple(sorted(only)))
            return bool(only) and await fails(least.of(only), load)

        needed = least.senders(least.stopped | self._failed())
        await ddmin([user for user in dict.fromkeys(least.users) if user not in needed], fails_with)
        load = self._spec.load
        if load.iterations is not None:
            iterations, each = least.iterations(least.switched | self._failed(), load.iterations)
            if iterations < load.iterations:
                await fails(least.of(least.users, each), replace(load, iterations=iterations))
        return list(least.choices)

    def _failed(self) -> frozenset[int]:
        """Return the threads of the requests that failed."""
        return frozenset(FIRST + one.seqs[-1] for one in self._smallest.broken if one.seqs)

    def _as_made(self, choices: Iterable[schedules.Choice]) -> list[schedules.Choice]:
        made = self._smallest.choices
        return [as_made(choice, made) if choice.is_preemption else choice for choice in choices]

    async def _fails_again(self, choices: Sequence[schedules.Choice]) -> bool:
        """Return whether the choices of the failure fail again.

        A recording in which other preemptions were made is no answer, unless there is no better one.
        """
        held = 0
        for _ in range(OFTEN):
            if self._stop.requested or held == AGAIN:
                return False
            tried = await self._record(choices)
            if self._keep_failing(tried):
                return True
            held += made_again(choices, tried.choices)
        return False

    async def _fails(self, choices: Sequence[schedules.Choice]) -> bool:
        """Return whether these choices fail in the same way; the smallest such recording is kept."""
        return self._keep_failing(await self._record(choices))

    async def _proved(self, script: ScriptedRequests, spec: RunSpec) -> ScriptedRequests | None:
        """Record a *script* with this *spec*; if it fails by itself, return it, and go on from there.

        Where the thread of its last preemption does not stop, but runs the same line, it is stopped there.
        """
        tried = await self._play(script, spec)
        if not self._proves(tried, script) and script.choices and (last := script.choices[-1]).is_preemption:
            again = elsewhere(tried.entries, last)
            if again is None:
                return None
            script = dataclasses.replace(script, choices=(*script.choices[:-1], again))
            tried = await self._play(script, spec)
        if not self._keep_proof(tried, script):
            return None
        self._spec = spec
        return script

    async def _record(self, choices: Sequence[schedules.Choice]) -> Tried:
        return await self._play(ScriptedRequests(tuple(choices), self._smallest.users), self._spec)

    async def _play(self, script: ScriptedRequests, spec: RunSpec) -> Tried:
        """Record *spec* with the choices of *script*."""
        file = self._setting.folder / "script.jsonl"
        file.write_text(schedules.script(script.choices, script.users), encoding="utf-8")
        return await self._attempt(
            exploring(spec, script=file, trace=True),  # the report shows its lines
            f"{_count(len(script.users), 'request')}, {_count(script.preemptions, 'preemption')}",
        )

    async def _attempt(self, spec: RunSpec, what: str) -> Tried:
        self.trials += 1
        folder = self._work / str(self.trials)
        tried = await attempt(self._here, spec, folder, self._setting.invariants, self._setting.limit)
        ended = "fails" if tried.kinds & self._kinds else "holds"
        self._see(f"{what}: {'could not be recorded' if tried.failure else ended}")
        return tried

    def _proves(self, tried: Tried, script: ScriptedRequests | None = None) -> bool:
        """Return whether it failed in the same way by its script alone: a slow call switches threads, too.

        If the *script* itself has slow calls, they may.
        """
        is_timed = any(choice.is_timing for choice in tried.choices)
        asked = script is not None and any(choice.is_timing for choice in script.choices)
        return bool(tried.kinds & self._kinds) and (asked or not is_timed)

    def _keep_proof(self, tried: Tried, script: ScriptedRequests | None = None) -> bool:
        """Return whether it failed so; if so, it is the smallest failure from now on."""
        return self._proves(tried, script) and self._keep_failing(tried)

    def _keep_failing(self, tried: Tried) -> bool:
        """Return whether it failed in the same way; if so, it is the smallest failure from now on."""
        if not tried.kinds & self._kinds:
            return False
        kept = self._setting.folder / SMALLEST
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(tried.run.parent, kept)
        self._smallest = Tried(tried.broken, tried.entries, tried.users, kept / trial.RUN)
        return True

    async def _pair(self, others: list[schedules.Choice], only: schedules.Choice) -> Pair | None:
        """Find how far the others must run while *only* stops a thread: the last line is the second one."""
        if only.thread is None:
            return None
        before, between = _around(self._smallest.entries, only)
        if not between:
            return None
        low, high = 0, len(between)
        # If the turn returns before line `low`, it holds; after all of the lines, it fails.
        while high - low > 1:
            middle = (low + high) // 2
            fails = await self._fails_until(others, only, between[middle])
            if fails is None:
                return None
            low, high = (low, middle) if fails else (middle, high)
        second = between[high - 1]
        in_a_call = only.kind == "call" and not only.point  # a recorded one, of a library or its own
        inside = bool(only.at) and (only.kind == "store" or in_a_call)
        return Pair(only.thread, only.at, inside, before, second.thread, second.at)

    async def _fails_until(
        self, others: list[schedules.Choice], only: schedules.Choice, line: schedules.Ran
    ) -> bool | None:
        """Return whether it fails if the thread of *only* continues before *line*; None if it did not."""
        asked = (only, schedules.Choice("line", line.thread, line.step, only.thread, line.at))
        for _ in range(OFTEN):
            if self._stop.requested:
                return None
            tried = await self._record([*others, *asked])
            made = [one for one in tried.choices if one.is_preemption]
            if len(made) == len(asked) and made_again(asked, made):
                fails = self._same_fails(tried)
                if not fails or self._proves(tried):
                    return fails
        return None

    def _same_fails(self, tried: Tried) -> bool:
        """Return whether the same request failed: another one may fail by what the first did meanwhile."""
        known = {one.kind: set(one.seqs) for one in self._smallest.broken}
        return any(
            one.kind in known and (not one.seqs or not known[one.kind].isdisjoint(one.seqs))
            for one in tried.broken
        )

    async def _replayed(self) -> tuple[int, int]:
        """Replay the smallest failure; if none of the first few replays is identical, not any more."""
        run, at_once = self._smallest.run, os.cpu_count() or 1
        made, same = 0, 0
        for some in (FIRST_REPLAYS, REPLAYS - FIRST_REPLAYS):
            if self._stop.requested or (made and not same):
                break
            job = Verify(spec=VerifySpec(replays=some), run=str(run), at_once=at_once)
            await self._here.workers.do(job, run.parent, self._setting.limit * some)
            made += some
            verdicts = [read_verdict(folder)[0] for folder in verifications(run).values()]
            same = sum(one is not None and one.judgement is Judgement.IDENTICAL for one in verdicts)
        return same, made


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def made_again(asked: Iterable[schedules.Choice], made: Iterable[schedules.Choice]) -> bool:
    """Return whether every preemption that was *asked* for is one of those that were *made*.

    Its location has to be the same, if it is known: which virtual user sends request *n* differs from
    recording to recording, so the thread of a request may run other code.
    """
    found = {(one.thread, one.step): one.at for one in made if one.is_preemption}
    return all(
        (place := (one.thread, one.step)) in found and one.at in {"", found[place]}
        for one in asked
        if one.is_preemption
    )


def as_made(asked: schedules.Choice, made: Iterable[schedules.Choice]) -> schedules.Choice:
    """Return a preemption as it was made, with its location; as it was *asked* for, if it was not made."""
    at = (asked.thread, asked.step)
    found = next((one for one in made if one.is_preemption and (one.thread, one.step) == at), asked)
    return dataclasses.replace(found, to=asked.to)


def _around(entries: Sequence[schedules.Entry], only: schedules.Choice) -> tuple[str, list[schedules.Ran]]:
    """Return the last line of the stopped thread, and the lines of the others until it continued."""
    before = ""
    between: list[schedules.Ran] | None = None
    for entry in entries:
        if isinstance(entry, schedules.Choice) and (entry.thread, entry.step) == (only.thread, only.step):
            between = []
        elif isinstance(entry, schedules.Choice) and between and entry.to == only.thread:
            break
        elif isinstance(entry, schedules.Ran) and between is not None and entry.thread != only.thread:
            between.append(entry)
        elif isinstance(entry, schedules.Ran) and entry.thread == only.thread and entry.step < only.step:
            before = entry.at
    return before, between or []
