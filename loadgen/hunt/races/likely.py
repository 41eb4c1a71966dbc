"""Schedules with a single preemption that may fail as an explored one did, the likeliest first.

Of a preemption, the stopped thread is kept, and each thread that ran meanwhile: it now runs to its end. All
other requests run to their end before or after the two, so the order has to be feasible: a virtual user sends
a request only after its last one was answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from loadgen.core.schedules import FIRST, Choice, Ended, Ran

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from loadgen.core.schedules import Entry


def likely(
    entries: Sequence[Entry], users: Sequence[int], failed: Collection[int] = ()
) -> list[list[Choice]]:
    """Return schedules with one preemption that may do what *entries* did, the likeliest first.

    *users* sent the requests, in order. The last choice is the preemption; the others are the order of the
    threads. One of the two threads is likely to have *failed*. Preemptions at different places come before
    another one at the same place, and those outside the application's files come last.
    """
    labels = {entry.thread: entry.label for entry in entries if isinstance(entry, Ended)}
    found: list[tuple[tuple[bool, bool, int], list[Choice]]] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for variant, stop, order in _candidates(entries, users, failed):
        assert stop.thread is not None
        assert stop.to is not None
        place = (stop.at, stop.kind, labels.get(stop.thread, ""), labels.get(stop.to, ""), variant)
        involved = stop.thread in failed or stop.to in failed
        found.append(((not stop.at, not involved, seen[place]), [*order, stop]))
        seen[place] += 1
    return [choices for _, choices in sorted(found, key=lambda one: one[0])]


def _candidates(
    entries: Sequence[Entry], users: Sequence[int], failed: Collection[int]
) -> Iterator[tuple[str, Choice, list[Choice]]]:
    """Yield each preemption and order, those of threads that *failed* first, and the last one first.

    A request that had begun, but not ended, at the preemption runs after it, or before it (the *variant*): a
    loop may need what it wrote.
    """
    ends = {entry.thread: at for at, entry in enumerate(entries) if isinstance(entry, Ended)}
    preemptions = [
        (at, entry) for at, entry in enumerate(entries) if isinstance(entry, Choice) and entry.is_preemption
    ]
    begin: dict[int, int] = {}
    for at, entry in enumerate(entries):
        if isinstance(entry, Choice) and entry.to is not None:
            begin.setdefault(entry.to, at)
    for at, choice in sorted(preemptions, key=lambda one: (one[1].thread not in failed, -one[0])):
        stopped = choice.thread
        if stopped is None:
            continue
        own_end = ends.get(stopped, len(entries))
        ended = [thread for thread, end in ends.items() if end < at]
        begun = {thread for thread, first in begin.items() if first < at}
        for other in dict.fromkeys([*_ended_between(ends, at, own_end), *_ran(entries, at, stopped)]):
            earlier = earlier_requests(other, users)
            if other in ended or stopped in earlier:
                continue
            needed = {*ended, *earlier}
            variants = {"ended": needed, "begun": (needed | begun) - {stopped, other}}
            for variant, before in variants.items():
                if variant == "begun" and before == needed:
                    continue
                first = [thread for thread in ends if thread in before]
                order = dict.fromkeys([*first, stopped, other, *ends])
                yield (
                    variant,
                    replace(choice, to=other),
                    [Choice("start", None, 0, thread) for thread in order],
                )


def _ended_between(ends: dict[int, int], begin: int, end: int) -> list[int]:
    return [thread for thread, at in ends.items() if begin < at < end]


def _ran(entries: Sequence[Entry], begin: int, stopped: int) -> Iterator[int]:
    """Yield the threads that ran from the choice at *begin* until the thread that it *stopped* continued."""
    for entry in entries[begin:]:
        if isinstance(entry, Choice) and entry.to is not None:
            if entry.to == stopped:
                return
            yield entry.to


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
