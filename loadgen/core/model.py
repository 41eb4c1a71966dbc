"""Models of a service: its behaviour for one request at a time. Some order must explain a history.

Overlapping requests may have been served in any order, others only in their own. A request with an unknown
outcome (no answer, or a 5xx) may have taken effect at any time after it was sent, or never.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from loadgen.core.invariants import Checked
from loadgen.core.linearizability import Span, check

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from loadgen.core.exchange import Request, Response
    from loadgen.core.history import Operation
    from loadgen.core.linearizability import ImpossiblePart, State

BUDGET = 1_000_000
"""Limit of search steps for all keys together, which takes some seconds."""
NEEDED_BUDGET = 20_000
"""Limit of search steps to find out whether one answer of an impossible part matters."""
SHOWN = 120
"""Characters shown of a body."""


class Model(Protocol):
    """The behaviour of a service, one request at a time."""

    @property
    def name(self) -> str:
        """The option as given."""

    @property
    def initial(self) -> State:
        """The state of each key before its first request."""

    def key(self, request: Request) -> Hashable:
        """Return the key of a request; different keys do not affect each other. None: not modelled."""

    def step(self, request: Request, answer: Response | None) -> Callable[[State], Iterable[State]]:
        """Return a function from a state to the possible next states; empty if the answer is impossible.

        *answer* is None if the outcome is unknown.
        """


@dataclass(frozen=True, slots=True)
class Modelled:
    """The invariant that a model explains the history."""

    model: Model
    budget: int = BUDGET

    @property
    def name(self) -> str:
        """The option as given."""
        return f"model {self.model.name}"

    def check(self, history: Sequence[Operation]) -> Checked:
        """Return the requests that no order explains; of several keys, those that were answered first."""
        parts: dict[Hashable, list[Operation]] = {}
        for one in history:
            key = self.model.key(one.request)
            if key is not None:
                parts.setdefault(key, []).append(one)
        left = self.budget
        undetermined: list[Hashable] = []
        first: tuple[float, Checked] | None = None
        for key, operations in parts.items():
            spans = [Span(one.asked, one.answered) if one.answer else Span(one.asked) for one in operations]
            steps = [self.model.step(one.request, one.answer) for one in operations]
            found = check(spans, self.model.initial, lambda one, state: steps[one](state), max(left, 0))  # noqa: B023
            left -= found.steps
            if found.holds is None:
                undetermined.append(key)
            elif found.part is not None:
                when = operations[found.part.last].answered
                if first is None or when < first[0]:
                    first = when, self._broken(key, operations, found.part)
        if first is not None:
            return first[1]
        if undetermined:
            keys = f"for {len(undetermined)} of {len(parts)} keys, such as {undetermined[0]!r}"
            message = f"not searched to the end, after {self.budget} steps, {keys}"
            return Checked(self.name, holds=None, message=message)
        if not any(one.answer for part in parts.values() for one in part):
            return Checked(self.name, holds=None, message="no request that it models was answered")
        count = sum(map(len, parts.values()))
        return Checked(self.name, holds=True, message=f"{count} requests, {len(parts)} keys")

    def _broken(self, key: Hashable, operations: Sequence[Operation], part: ImpossiblePart) -> Checked:
        last = operations[part.last]
        among = [operations[one] for one in part.operations]
        needed = self._needed(among, last, part.state)
        others = [one.seq for one in needed if one is not last]
        rest = [one.seq for one in among if one not in needed]
        message = f"request {last.seq} got {_got(last)}, which the model "
        message += f"allows in no order with {_listed(others)}" if others else "does not allow"
        if rest:
            message += f", whatever {_listed(rest)} did"
        state = f"the state before: {part.state!r}" + (f" (key {key!r})" if key is not True else "")
        return Checked(
            self.name,
            holds=False,
            message=message,
            seqs=(*others, last.seq),
            details=(state, *map(_line, needed)),
        )

    def _needed(self, among: Sequence[Operation], last: Operation, state: State) -> list[Operation]:
        """Return the operations of a part that contradict each other, independent of the others."""
        needed = [one for one in among if one is last or (one.answer and one.answered < last.answered)]
        for candidate in [one for one in reversed(needed) if one is not last]:
            fewer = [one for one in needed if one is not candidate]
            spans = [Span(one.asked, one.answered if one in fewer else math.inf) for one in among]
            steps = [self.model.step(one.request, one.answer if one in fewer else None) for one in among]
            if check(spans, state, lambda one, at: steps[one](at), NEEDED_BUDGET).holds is False:  # noqa: B023
                needed = fewer
        return needed


def _listed(seqs: Sequence[int]) -> str:
    if len(seqs) == 1:
        return f"request {seqs[0]}"
    return f"requests {', '.join(map(str, seqs[:-1]))} and {seqs[-1]}"


def _line(one: Operation) -> str:
    asked = f"request {one.seq}  {one.request.method} {one.request.target}{_body(one.request.body)}"
    return f"{asked}  ->  {_got(one)}"


def _got(one: Operation) -> str:
    if one.answer is None:
        return "an unknown outcome: it may have taken effect"
    return f"{one.answer.status}{_body(one.answer.body)}"


def _body(body: bytes) -> str:
    text = " ".join(body.decode(errors="replace").split())
    return f" {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}" if text else ""
