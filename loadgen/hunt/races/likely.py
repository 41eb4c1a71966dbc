"""Schedules with a single preemption that may fail as an explored one did, the likeliest first.

Of a preemption, the stopped thread is kept, and of those that ran meanwhile each one, or all: they now run to
their ends before the stopped thread continues. Every other request runs to its end before or after that. The
order has to be feasible: a virtual user sends a request only after its last one was answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from loadgen.core.schedules import FIRST, Choice, Ended, Ran

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.core.schedules import Entry


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

    *users* sent the requests, in order. Of the threads of the preemption, one is likely to have *failed*.
    Preemptions at different places come before another one at the same place, and those outside the
    application's files come last.
    """
    explored = _Explored(entries, users)
    seen: Counter[tuple[object, ...]] = Counter()
    found: list[tuple[tuple[bool, bool, int], Likely]] = []
    for one in explored.candidates(failed):
        stop, threads = one.stop, {one.stop.thread, *one.meanwhile}
        kinds = explored.label(stop.thread), explored.label(one.meanwhile[0])
        place = (stop.at, stop.kind, kinds, len(threads), one.late)
        several = len(one.meanwhile) > 1  # usually one is enough
        found.append(((not stop.at, failed.isdisjoint(threads), seen[place] + several), one))
        seen[place] += 1
    return [one for _, one in sorted(found, key=lambda one: one[0])]


class _Explored:
    """The schedule that failed."""

    def __init__(self, entries: Sequence[Entry], users: Sequence[int]) -> None:
        self._entries = entries
        self._users = users
        self._ended: dict[int, tuple[int, Ended]] = {}
        """Of each thread, in the order in which they ended: the place of its end in the schedule."""
        self._begun: dict[int, int] = {}
        for at, entry in enumerate(entries):
            if isinstance(entry, Ended):
                self._ended[entry.thread] = at, entry
            elif isinstance(entry, Choice) and entry.to is not None:
                self._begun.setdefault(entry.to, at)
        self._ends = tuple(end for _, end in self._ended.values())

    def label(self, thread: int | None) -> str:
        """Return the kind of a request; empty if its thread did not end."""
        return self._ended[thread][1].label if thread in self._ended else ""

    def candidates(self, failed: frozenset[int]) -> Iterator[Likely]:
        """Yield the candidates of each preemption: of threads that *failed* first, and the last one first."""
        preemptions = [
            (at, entry)
            for at, entry in enumerate(self._entries)
            if isinstance(entry, Choice) and entry.is_preemption and entry.thread is not None
        ]
        for at, stop in sorted(preemptions, key=lambda one: (one[1].thread not in failed, -one[0])):
            others = self._others(at, stop)
            for meanwhile in (*((other,) for other in others), *((others,) if len(others) > 1 else ())):
                apart = {stop.thread, *meanwhile}
                begun = {thread for thread, first in self._begun.items() if first < at} - apart
                earlier = (earlier_requests(other, self._users) - apart for other in meanwhile)
                before = frozenset(thread for thread, (end, _) in self._ended.items() if end < at).union(
                    *earlier
                )
                yield Likely(stop, meanwhile, before, late=False, ends=self._ends)
                if not begun <= before:  # a loop may need what they wrote
                    yield Likely(stop, meanwhile, before | begun, late=True, ends=self._ends)

    def _others(self, at: int, stop: Choice) -> tuple[int, ...]:
        """Return who ran or ended between the choice *stop*, at this place, and the end of its thread."""
        assert stop.thread is not None
        end, _ = self._ended.get(stop.thread, (len(self._entries), None))
        others = [thread for thread, (its, _) in self._ended.items() if at < its < end]
        for entry in self._entries[at:]:
            if isinstance(entry, Choice) and entry.to is not None:
                if entry.to == stop.thread:
                    break
                others.append(entry.to)
        return tuple(
            other
            for other in dict.fromkeys(others)
            if (other not in self._ended or self._ended[other][0] > at)
            and stop.thread not in earlier_requests(other, self._users)
        )


def earlier_requests(thread: int, users: Sequence[int]) -> set[int]:
    """Return the requests that are answered before request *thread* is sent: its user's earlier ones."""
    seq = thread - FIRST
    if not 1 <= seq <= len(users):
        return set()
    return {FIRST + one for one in range(1, seq) if users[one - 1] == users[seq - 1]}


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
