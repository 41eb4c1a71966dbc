"""Strategies that choose the thread that runs next. They neither wait nor look at a clock.

The scheduler (:mod:`loadgen.traced.chosen`) notifies a strategy when threads begin and end, and asks it at
every *step* of the running thread: the return of a recorded call, or a point in the application's own code. A
step is identified by its thread and its number in that thread, so the same choice can be made again in
another recording of the same requests.

Choices are drawn per thread, from the seed and the thread's number, so they do not depend on when requests
arrive.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from loadgen.traced.settings import FIRST_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WORD = (1 << 64) - 1
LONGEST_UNKNOWN = 9
"""Binary logarithm of the assumed longest request, while no request of its kind was measured."""
GOES_ON = 0.5
"""Probability that a paused request waits for one more request to finish."""


class Dice:
    """A pseudo-random generator (xorshift), because numbers of :mod:`random` are on the tape."""

    def __init__(self, *seeds: int) -> None:
        state = 0x9E3779B97F4A7C15
        for seed in seeds:
            state = ((state ^ (seed & _WORD)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _WORD
            state ^= state >> 29
        self._state = state or 1
        for _ in range(4):
            self.real()

    def real(self) -> float:
        """Return a number from 0 up to 1."""
        state = self._state
        state ^= (state << 13) & _WORD
        state ^= state >> 7
        state ^= (state << 17) & _WORD
        self._state = state
        return (state >> 11) / (1 << 53)

    def below(self, limit: int) -> int:
        """Return a whole number from 0 up to *limit*."""
        return int(self.real() * limit)


class Choice(NamedTuple):
    """One line of a schedule: at its step, *thread* gave its turn up to *to*."""

    thread: int | None
    """None: no thread had the turn."""
    step: int
    kind: str
    to: int


PREEMPTED = frozenset({"line", "store", "call"})
"""Kinds of choices in which the thread could have continued. ``line``, ``store``: at a point in its own code;
``call``: after a recorded call, or a call from its own code."""


class Strategy:
    """The simplest strategy: a thread runs until it waits, and the oldest ready thread is next."""

    def __init__(self) -> None:
        self._order: dict[int, int] = {}

    def began(self, thread: int, label: str) -> None:
        """Note that *thread* begins; *label* is the kind of its request, such as ``GET /page``."""
        del label
        self._order[thread] = len(self._order)

    def ended(self, thread: int, steps: int) -> None:
        """Note that *thread* ends after *steps* steps."""

    def is_early(self, thread: int) -> bool:
        """Whether *thread*, which has not arrived, can hardly be sent before another one has ended."""
        del thread
        return False

    def missed(self, thread: int) -> None:
        """Note that *thread*, which was to continue, did not come in time."""

    def starved(self, thread: int) -> None:
        """Note that *thread* has waited for longest, and the others may wait for it in a loop."""

    def stops(self, thread: int, step: int) -> bool:
        """Whether to make a choice at this step, a point in the application's code."""
        del thread, step
        return False

    def here(self, thread: int, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues: *thread*, which is at its *step*, or one that is *ready*."""
        del step, kind, ready
        return thread

    def after(self, thread: int | None, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return which thread of *ready* continues, because *thread* cannot; None: no thread had the turn."""
        del thread, step, kind
        return min(ready, key=lambda one: self._order.get(one, one))

    def is_slow(self, thread: int, step: int) -> bool:
        """Whether the call that *thread* begins after its *step* is known to be slow."""
        del thread, step
        return False


class Random(Strategy):
    """At each point, with a small probability, another thread; after each call any thread."""

    def __init__(self, seed: int, chance: float) -> None:
        super().__init__()
        self._seed = seed
        self._chance = chance
        self._dice: dict[int, Dice] = {}
        self._nobody = Dice(seed)

    def began(self, thread: int, label: str) -> None:
        """Draw the choices of this thread."""
        super().began(thread, label)
        self._dice[thread] = Dice(self._seed, thread)

    def stops(self, thread: int, step: int) -> bool:
        """Whether to make a choice at this step."""
        del step
        return self._dice[thread].real() < self._chance

    def here(self, thread: int, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues."""
        del step
        among = [*ready] if kind in {"line", "store"} and ready else [thread, *ready]
        return among[self._dice[thread].below(len(among))]

    def after(self, thread: int | None, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues instead."""
        del step, kind
        dice = self._nobody if thread is None else self._dice.get(thread, self._nobody)
        return ready[dice.below(len(ready))]


class Lengths:
    """Number of steps of requests by label: as measured before, and as requests end."""

    def __init__(self, measured: Mapping[str, int]) -> None:
        self._known = {label: [steps] for label, steps in measured.items()}
        self._labels: dict[int, str] = {}

    def began(self, thread: int, label: str) -> None:
        """Remember the label of *thread*."""
        self._labels[thread] = label

    def ended(self, thread: int, steps: int) -> None:
        """Update the length of this kind of request."""
        label = self._labels.pop(thread, "")
        if steps:
            self._known[label] = [*self._known.get(label, ()), steps][-8:]

    def draw(self, label: str, dice: Dice) -> int:
        """Return the number of a random step of a request, uniformly distributed.

        If no request of this label was measured, all orders of magnitude are equally likely.
        """
        known = self._known.get(label)
        if known is None:
            return 1 + dice.below(1 << (1 + dice.below(LONGEST_UNKNOWN)))
        return 1 + dice.below(max(known))


class Pct(Strategy):
    """Probabilistic concurrency testing: threads have random priorities, and the highest one runs.

    Each request, and each thread that the application starts, drops to the lowest priority at ``depth - 1``
    random steps, drawn when it begins.
    """

    def __init__(self, seed: int, depth: int, measured: Mapping[str, int]) -> None:
        super().__init__()
        self._seed = seed
        self._depth = depth
        self._lengths = Lengths(measured)
        self._priority: dict[int, float] = {}
        self._changes: dict[int, set[int]] = {}
        self._lowest = 0.0
        self._highest_yet = 2.0

    def began(self, thread: int, label: str) -> None:
        """Draw the choices of this thread."""
        super().began(thread, label)
        self._lengths.began(thread, label)
        dice = Dice(self._seed, thread)
        self._priority[thread] = 1 + dice.real()
        changes = self._depth - 1 if thread else 0  # the main thread goes on to serve
        self._changes[thread] = {self._lengths.draw(label, dice) for _ in range(changes)}

    def ended(self, thread: int, steps: int) -> None:
        """Update the length of this kind of request."""
        self._lengths.ended(thread, steps if thread else 0)

    def stops(self, thread: int, step: int) -> bool:
        """Whether to make a choice at this step."""
        return step in self._changes[thread]

    def here(self, thread: int, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues."""
        del kind
        if step in self._changes[thread]:
            self._changes[thread].discard(step)
            self._lowest -= 1
            self._priority[thread] = self._lowest
            self.dropped(thread)
        return self._highest([thread, *ready])

    def after(self, thread: int | None, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues instead."""
        del thread, step, kind
        return self._highest(ready)

    def starved(self, thread: int) -> None:
        """Give *thread* the highest priority."""
        self._highest_yet += 1
        self._priority[thread] = self._highest_yet

    def dropped(self, thread: int) -> None:
        """Note that *thread* drops to the lowest priority."""

    def _highest(self, among: Iterable[int]) -> int:
        return max(among, key=lambda one: self._priority.get(one, 0))


class Pause(Pct):
    """Like :class:`Pct`, but a dropped request gets priority again when one or a few others have finished.

    Virtual users that wait for their answers keep sending requests: with strict priorities, a dropped request
    would continue only when all others are done, at the end of the session.
    """

    def __init__(self, seed: int, depth: int, measured: Mapping[str, int]) -> None:
        super().__init__(seed, depth, measured)
        self._dice = Dice(seed)
        self._finished = 0
        self._until: dict[int, int] = {}

    def ended(self, thread: int, steps: int) -> None:
        """Update the length of this kind of request."""
        super().ended(thread, steps)
        if thread < FIRST_THREAD:
            return
        self._finished += 1
        for one in [one for one, until in self._until.items() if self._finished >= until]:
            self.starved(one)

    def starved(self, thread: int) -> None:
        """Give *thread* the highest priority."""
        super().starved(thread)
        self._until.pop(thread, None)

    def dropped(self, thread: int) -> None:
        """Draw the number of requests that it waits for."""
        others = 1
        while self._dice.real() < GOES_ON:
            others += 1
        self._until[thread] = self._finished + others


class Script(Strategy):
    """Repeats choices of an earlier schedule. Between them, a thread runs until it waits.

    Threads continue in the order in which the choices name them. A thread named by a choice may not exist
    yet: the scheduler waits for it, unless all of the *users* have open requests. A choice whose step is not
    reached is not made, and neither is one of a thread that was waited for in vain. *senders* is the virtual
    user of each request, in order, if known.
    """

    def __init__(
        self,
        choices: Iterable[Choice],
        slow: Iterable[tuple[int, int]] = (),
        *,
        users: int = 0,
        senders: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self._users = users
        self._senders = dict(enumerate(senders, FIRST_THREAD + 1))
        self._open: set[int] = set()
        self._preempted: dict[tuple[int, int], int] = {}
        self._next: dict[tuple[int | None, int, str], list[int]] = {}
        """In order: a thread that waits for a lock several times is at the same step each time."""
        self._asked: tuple[tuple[int | None, int, str], int] | None = None
        """The last choice of these that was made."""
        self._slow = frozenset(slow)
        self._rank: dict[int, int] = {}
        for choice in choices:
            if choice.kind in PREEMPTED and choice.thread is not None:
                self._preempted[choice.thread, choice.step] = choice.to
            elif choice.thread is not None:
                self._next.setdefault((choice.thread, choice.step, choice.kind), []).append(choice.to)
            for one in (choice.thread, choice.to):
                if one is not None:
                    self._rank.setdefault(one, len(self._rank))
        self._coming = {one for one in self._rank if one >= FIRST_THREAD}
        self._missed: set[int] = set()

    def began(self, thread: int, label: str) -> None:
        """Note that *thread* no longer has to be waited for."""
        super().began(thread, label)
        self._coming.discard(thread)
        self._missed.discard(thread)
        if thread >= FIRST_THREAD:
            self._open.add(thread)

    def ended(self, thread: int, steps: int) -> None:
        """Note that a virtual user can send its next request."""
        super().ended(thread, steps)
        self._open.discard(thread)

    def is_early(self, thread: int) -> bool:
        """Whether the virtual user of *thread* waits for an answer."""
        sender = self._senders.get(thread)
        return sender is not None and any(self._senders.get(one) == sender for one in self._open)

    def missed(self, thread: int) -> None:
        """Wait for *thread* no more."""
        self._coming.discard(thread)
        self._missed.add(thread)

    def stops(self, thread: int, step: int) -> bool:
        """Whether to make a choice at this step."""
        return (thread, step) in self._preempted

    def here(self, thread: int, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues."""
        del kind, ready
        to = self._preempted.get((thread, step), thread)
        return thread if to in self._missed else to

    def after(self, thread: int | None, step: int, kind: str, ready: Sequence[int]) -> int:
        """Return the thread that continues instead."""
        here = thread, step, kind
        in_vain = self._asked is not None and self._asked[0] == here and self._asked[1] in self._missed
        self._asked = None
        if not in_vain and (choices := self._next.get(here)):
            self._asked = here, choices.pop(0)
            if self._asked[1] not in self._missed:
                return self._asked[1]
        last = len(self._rank)
        others = any(one < FIRST_THREAD and one not in self._rank for one in ready)
        waits = len(self._open) < self._users and not others
        among = {*ready, *self._coming} if waits else ready
        return min(among, key=lambda one: (self._rank.get(one, last), one))

    def is_slow(self, thread: int, step: int) -> bool:
        """Whether the call was slow in the earlier schedule."""
        return (thread, step) in self._slow


NAMES = ("random", "pct", "pause", "script", "none")
CHANCE = 0.1
DEPTH = 3


def make(text: str, seed: int, measured: Mapping[str, int], script: Script | None) -> Strategy:
    """Return the strategy that *text* names: ``random:0.1``, ``pct:3``, ``pause:2``, ``script`` or ``none``.

    Raises:
        ValueError: *text* is not a strategy.
    """
    name, _, argument = text.partition(":")
    if name == "random":
        return Random(seed, float(argument or CHANCE))
    if name in {"pct", "pause"}:
        return (Pct if name == "pct" else Pause)(seed, int(argument or DEPTH), measured)
    if name == "script" and script is not None:
        return script
    if name == "none":
        return Strategy()
    raise ValueError(f"{text!r} is not one of {', '.join(NAMES)}")


def label(method: str, path: str) -> str:
    """Return the kind of a request: method and path, without the numbers in the path."""
    return f"{method} {re.sub(r'[0-9]+', '0', path)}"
