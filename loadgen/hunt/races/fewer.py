"""A script without some of its requests: those of other virtual users, or of later iterations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from loadgen.core.schedules import FIRST, threads

if TYPE_CHECKING:
    from collections.abc import Collection

    from loadgen.core.schedules import Choice

LEFT_OUT = -1


@dataclass(frozen=True, slots=True)
class ScriptedRequests:
    """Choices, and the virtual users whose requests they are about, in the order of these requests."""

    choices: tuple[Choice, ...]
    users: tuple[int, ...]

    @property
    def preemptions(self) -> int:
        """Number of its preemptions."""
        return sum(choice.is_preemption for choice in self.choices)

    @property
    def switched(self) -> frozenset[int]:
        """The threads of its switches."""
        return threads([choice for choice in self.choices if choice.kind != "start"])

    @property
    def stopped(self) -> frozenset[int]:
        """The threads of its preemptions, and who runs instead unless several do."""
        stops = [choice for choice in self.choices if choice.is_preemption]
        if any(choice.kind == "end" for choice in self.choices):
            stops = [replace(stop, to=None) for stop in stops]
        return threads(stops)

    def senders(self, threads: Collection[int]) -> frozenset[int]:
        """Return who sent the requests of *threads*."""
        return frozenset(user for thread, user in enumerate(self.users, FIRST + 1) if thread in threads)

    def iterations(self, threads: Collection[int], made: int) -> tuple[int, int]:
        """Return how many of the iterations *made* send the requests of *threads*, and how many requests.

        That can be told if each virtual user sent as many requests, and as many in each iteration.
        """
        each, *others = {*Counter(self.users).values()}
        if others or each % made:
            return made, each
        sent = Counter[int]()
        needed = 1
        for thread, user in enumerate(self.users, FIRST + 1):
            sent[user] += 1
            if thread in threads:
                needed = max(needed, sent[user])
        iterations = ceil(needed * made / each)
        return iterations, iterations * each // made

    def of(self, users: Collection[int], each: int | None = None) -> ScriptedRequests:
        """Return it with the requests of *users* alone, and of each user only the first *each*.

        Requests are numbered anew. A choice about a request that is left out is left out, too: where such a
        request was to run until its end, the next one runs instead.
        """
        sent, renamed, left = Counter[int](), dict[int, int](), list[int]()
        for thread, user in enumerate(self.users, FIRST + 1):
            sent[user] += 1
            if user in users and (each is None or sent[user] <= each):
                left.append(user)
                renamed[thread] = FIRST + len(left)

        def new(thread: int | None) -> int | None:
            return renamed.get(thread, LEFT_OUT) if thread is not None and thread > FIRST else thread

        then = {one.thread: one.to for one in self.choices if one.kind == "end"}

        def instead(choice: Choice) -> int | None:
            to = choice.to
            while choice.kind != "start" and new(to) == LEFT_OUT and to in then:
                to = then[to]
            return new(to)

        made = (replace(one, thread=new(one.thread), to=instead(one)) for one in self.choices)
        return ScriptedRequests(
            tuple(one for one in made if LEFT_OUT not in {one.thread, one.to}), tuple(left)
        )
