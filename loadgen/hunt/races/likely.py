"""Schedules with a single preemption that may fail as an explored one did, the likeliest first.

Of a preemption, the stopped thread is kept, and of those that ran meanwhile each one, or all: they now run to
their ends before the stopped thread continues. Every other request runs to its end before or after that. The
order has to be feasible: a virtual user sends a request only after its last one was answered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import pairwise
from typing import TYPE_CHECKING

from loadgen.core.schedules import FIRST, Choice, Ended, Ran

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.core.schedules import Entry

MOST = 100
"""Number of schedules that are returned at most."""
SAME_PLACE = 4
"""Number of preemptions at the same place that are looked at: a long schedule may have thousands."""


@dataclass(frozen=True, slots=True)
class Likely:
    """A schedule with one preemption."""

    stop: Choice
    """The preemption."""
    meanwhile: tuple[int, ...]
    """The threads that run to their ends before the stopped one continues, in this order."""
    before: frozenset[int]
    """The threads that run to their ends before that one begins."""
    late: bool
    """Whether these are also those that had begun, but not ended, when it was stopped."""
    ends: tuple[Ended, ...]
    """The end of each thread in the schedule that failed, in order."""

    def choices(self) -> list[Choice]:
        """Return its script: the order of the threads, and last the preemption.

        At its end each of several threads says which is next: otherwise, the stopped one would be.
        """
        steps = {end.thread: end.steps for end in self.ends}
        first = [thread for thread in steps if thread in self.before]
        order = dict.fromkeys([*first, self.stop.thread, *self.meanwhile, *steps])
        return [
            *(Choice("start", None, 0, thread) for thread in order),
            *(
                Choice("end", thread, steps[thread], other)
                for thread, other in pairwise(self.meanwhile)
                if thread in steps
            ),
            replace(self.stop, to=self.meanwhile[0]),
        ]


def likely(
    entries: Sequence[Entry], users: Sequence[int], failed: frozenset[int] = frozenset()
) -> list[Likely]:
    """Return schedules with one preemption that may do what *entries* did, the likeliest first.

    There are at most :data:`MOST`. *users* sent the requests, in order. Of the threads of the preemption, one
    is likely to have *failed*. Preemptions at different places come before another one at the same place, and
    those outside the application's files come last.
    """
    explored = _Explored(entries, users)
    seen: Counter[tuple[object, ...]] = Counter()

    def ranked() -> Iterator[tuple[tuple[bool, bool, int], Likely]]:
        for one in explored.candidates(failed):
            stop, threads = one.stop, {one.stop.thread, *one.meanwhile}
            place = (*explored.place(stop), explored.label(one.meanwhile[0]), len(threads), one.late)
            several = len(one.meanwhile) > 1  # usually one is enough
            yield (not stop.at, failed.isdisjoint(threads), seen[place] + several), one
            seen[place] += 1

    return [one for _, one in nsmallest(MOST, ranked(), key=lambda one: one[0])]


class _Explored:
    """The schedule that failed."""

    def __init__(self, entries: Sequence[Entry], users: Sequence[int]) -> None:
        self._entries = entries
        self._answered: dict[int, frozenset[int]] = {}
        """Of each request, the earlier ones of its user, which are answered before it is sent."""
        sent: defaultdict[int, list[int]] = defaultdict(list)
        for thread, user in enumerate(users, FIRST + 1):
            self._answered[thread] = frozenset(sent[user])
            sent[user].append(thread)
        self._ended: dict[int, tuple[int, Ended]] = {}
        """Of each thread, in the order in which they ended: the place of its end in the schedule."""
        self._begun: dict[int, int] = {}
        for at, entry in enumerate(entries):
            if isinstance(entry, Ended):
                self._ended[entry.thread] = at, entry
            elif isinstance(entry, Choice) and entry.to is not None:
                self._begun.setdefault(entry.to, at)
        self._ends = tuple(end for _, end in self._ended.values())

    def place(self, stop: Choice) -> tuple[str, str, str]:
        """Return what preemptions at the same place have in common."""
        return stop.at, stop.kind, self.label(stop.thread)

    def label(self, thread: int | None) -> str:
        """Return the kind of a request; empty if its thread did not end."""
        return self._ended[thread][1].label if thread in self._ended else ""

    def candidates(self, failed: frozenset[int]) -> Iterator[Likely]:
        """Yield the candidates of each preemption."""
        for at, stop in self._preemptions(failed):
            others = self._others(at, stop)
            ended = frozenset(thread for thread, (end, _) in self._ended.items() if end < at)
            begun = frozenset(thread for thread, first in self._begun.items() if first < at)
            for meanwhile in (*((other,) for other in others), *((others,) if len(others) > 1 else ())):
                apart = {stop.thread, *meanwhile}
                before = ended.union(*(self._earlier(other) for other in meanwhile)) - apart
                yield Likely(stop, meanwhile, before, late=False, ends=self._ends)
                if not begun <= before | apart:  # a loop may need what they wrote
                    yield Likely(stop, meanwhile, before | begun - apart, late=True, ends=self._ends)

    def _preemptions(self, failed: frozenset[int]) -> Iterator[tuple[int, Choice]]:
        """Yield preemptions and where they are: of threads that *failed* first, and the last one first."""
        all_of_them = [
            (at, entry)
            for at, entry in enumerate(self._entries)
            if isinstance(entry, Choice) and entry.is_preemption and entry.thread is not None
        ]
        seen: Counter[tuple[str, str, str]] = Counter()
        for at, stop in sorted(all_of_them, key=lambda one: (one[1].thread not in failed, -one[0])):
            seen[self.place(stop)] += 1
            if seen[self.place(stop)] <= SAME_PLACE:
                yield at, stop

    def _others(self, at: int, stop: Choice) -> tuple[int, ...]:
        """Return who ran or ended between the choice *stop*, at this place, and the end of its thread."""
        assert stop.thread is not None
        end, _ = self._ended.get(stop.thread, (len(self._entries), None))
        others = [thread for thread, (its, _) in self._ended.items() if at < its < end]
        for after in range(at, len(self._entries)):
            entry = self._entries[after]
            if isinstance(entry, Choice) and entry.to is not None:
                if entry.to == stop.thread:
                    break
                others.append(entry.to)
        return tuple(
            other
            for other in dict.fromkeys(others)
            if (other not in self._ended or self._ended[other][0] > at)
            and stop.thread not in self._earlier(other)
        )

    def _earlier(self, thread: int) -> frozenset[int]:
        return self._answered.get(thread, frozenset())  # the application's own threads have none


def as_likely(choices: Sequence[Choice], entries: Sequence[Entry]) -> Likely:
    """Return *choices* with one preemption, with which *entries* were recorded, as such a schedule."""
    stop = next(choice for choice in choices if choice.is_preemption)
    order = [choice.to for choice in choices if choice.kind == "start" and choice.to is not None]
    assert stop.to is not None
    then = [choice.to for choice in choices if choice.kind == "end" and choice.to is not None]
    before = frozenset(order[: order.index(stop.thread)] if stop.thread in order else ())
    ends = tuple(entry for entry in entries if isinstance(entry, Ended))
    return Likely(stop, (stop.to, *then), before, late=False, ends=ends)


def elsewhere(entries: Sequence[Entry], choice: Choice) -> Choice | None:
    """Return *choice* at another step, where its thread came to the same line; None if it was made.

    In another order a thread may go through a loop more or less often. Its last time is taken.
    """
    made = {(one.thread, one.step) for one in entries if isinstance(one, Choice)}
    ran = [
        one for one in entries if isinstance(one, Ran) and (one.thread, one.at) == (choice.thread, choice.at)
    ]
    if (choice.thread, choice.step) in made or not ran:
        return None
    return replace(choice, step=ran[-1].step)
