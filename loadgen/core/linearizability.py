"""Linearizability: is there an order of overlapping operations that explains all answers?

This is Wing and Gong's search with Lowe's just-in-time linearization: events are read in order, and an
operation takes effect as late as possible, which is when an overlapping one returns. A *configuration* is the
position of the search, the open operations that have taken effect, and the state; none is tried twice. The
search is depth first, so a linearizable history usually takes a few steps per operation. Any other history
exhausts all configurations, and the furthest return that they reached ends the shortest impossible prefix.

G. Lowe, "Testing for linearizability", 2017; A. Horn and D. Kroening, "Faster linearizability checking via
P-compositionality", 2015, for the partition by key, which the caller does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    State = Hashable
    Step = Callable[[int, State], Iterable[State]]
    """The possible states after an operation, by its index, in a state; empty if it is impossible there."""


@dataclass(frozen=True, slots=True)
class Span:
    """The call and the return of an operation, which took effect in between."""

    called: float
    returned: float = inf
    """Infinite: its outcome is unknown. It takes effect at any time after its call, or never."""


@dataclass(frozen=True, slots=True)
class ImpossiblePart:
    """The shortest part of a history that no order explains."""

    state: State
    """The only state that was possible before the part."""
    operations: tuple[int, ...]
    """The operations of the part, by their index, in the order of their calls."""
    last: int
    """The operation that returned an impossible answer."""


@dataclass(frozen=True, slots=True)
class Linearizable:
    """The result of a search."""

    holds: bool | None
    """None: undetermined, because the budget was used up."""
    steps: int
    part: ImpossiblePart | None = None


@dataclass(frozen=True, slots=True)
class _Return:
    """A return, with the operations that are open at that time."""

    operation: int
    open: tuple[int, ...]


def check(spans: Sequence[Span], initial: State, step: Step, budget: int) -> Linearizable:
    """Return whether operations with these *spans* can be put into one order, starting from *initial*.

    Gives up after *budget* steps.
    """
    search = _Search(spans, step, budget)
    holds = search.run(initial)
    part = _part(spans, search) if holds is False else None
    return Linearizable(holds, search.steps, part)


class _Search:
    """The configurations: number of passed returns, operations that have taken effect, and the state."""

    def __init__(self, spans: Sequence[Span], step: Step, budget: int) -> None:
        self.returns = returns = _returns(spans)
        self.steps = 0
        self.entered: list[set[tuple[int, State]]] = [set() for _ in returns]
        """The configurations in which the search reached each return."""
        self._step = step
        self._budget = budget
        self._unknown = sum(1 << at for at, span in enumerate(spans) if span.returned == inf)
        self._after: dict[tuple[int, State], tuple[State, ...]] = {}
        self._tried: dict[tuple[int, int, State], list[int]] = {}

    @property
    def furthest(self) -> int:
        """The furthest return that the search reached."""
        return max(at for at, entered in enumerate(self.entered) if entered)

    def run(self, initial: State) -> bool | None:
        """Return whether all returns can be passed; None if not known within the budget."""
        if not self.returns:
            return True
        self.entered[0].add((0, initial))
        left: list[tuple[int, int, State]] = [(0, 0, initial)]
        while left:
            at, effective, state = left.pop()
            while at < len(self.returns) and effective >> self.returns[at].operation & 1:
                effective ^= 1 << self.returns[at].operation  # it has returned, so it is no longer needed
                at += 1
                if at < len(self.returns):
                    self.entered[at].add((effective, state))
            if at == len(self.returns):
                return True
            if self._is_new(at, effective, state):
                left += self._next(at, effective, state)
            if self.steps > self._budget:
                return None
        return False

    def _is_new(self, at: int, effective: int, state: State) -> bool:
        """Whether no equal configuration was tried, nor one that used fewer unknown outcomes."""
        used = effective & self._unknown
        tried = self._tried.setdefault((at, effective ^ used, state), [])
        if any(one & used == one for one in tried):
            return False
        tried[:] = [one for one in tried if one & used != used]
        tried.append(used)
        return True

    def _next(self, at: int, effective: int, state: State) -> list[tuple[int, int, State]]:
        """Return the configurations after one more operation takes effect; the last one is tried first.

        Operations that do not change the state, such as reads, come first: they do not restrict the others.
        With an unknown outcome, such an operation need not be tried.
        """
        reads: list[tuple[int, int, State]] = []
        writes: list[tuple[int, int, State]] = []
        for operation in reversed(self.returns[at].open):
            if effective >> operation & 1:
                continue
            self.steps += 1
            if (operation, state) not in self._after:
                self._after[operation, state] = tuple(self._step(operation, state))
            for after in self._after[operation, state]:
                if after == state and self._unknown >> operation & 1:
                    continue
                (reads if after == state else writes).append((at, effective | 1 << operation, after))
        return writes + reads


def _returns(spans: Sequence[Span]) -> list[_Return]:
    """Return the returns in order; an operation called at the time of a return overlaps it.

    The open operations start with the one that returns, followed by those that return soonest: the order in
    which they are tried.
    """
    found = []
    order = sorted(range(len(spans)), key=lambda one: spans[one].returned)
    for index, operation in enumerate(order):
        now = spans[operation].returned
        if now == inf:
            break
        found.append(_Return(operation, tuple(one for one in order[index:] if spans[one].called <= now)))
    return found


def _part(spans: Sequence[Span], search: _Search) -> ImpossiblePart:
    """Cut the history after the furthest return, and before it at the last point with a single configuration.

    That point is before the last operation's call, so that the part contains everything that overlaps it.
    """
    returns, entered, furthest = search.returns, search.entered, search.furthest
    last = returns[furthest].operation
    begin = next(
        at
        for at in range(furthest, -1, -1)
        if len(entered[at]) == 1
        and (not at or spans[returns[at - 1].operation].returned < spans[last].called)
    )
    ((effective, state),) = entered[begin]
    past = {one.operation for one in returns[:begin]}
    part = [
        one
        for one in range(len(spans))
        if spans[one].called <= spans[last].returned and one not in past and not effective >> one & 1
    ]
    return ImpossiblePart(state, tuple(sorted(part, key=lambda one: spans[one].called)), last)
