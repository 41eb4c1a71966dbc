"""What a recording asked before a moment: the answers that a new question of changed code may get.

A request that asks what it never asked while recording may get the last answer that the same question had
before, from whichever request. Whether something between the two may have changed it, the verifier decides:
it gets the effects that lie between.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, NamedTuple

from loadgen.traced.described import name_of, shown
from loadgen.traced.hidden import hide
from loadgen.traced.kinds import text_of

if TYPE_CHECKING:
    from loadgen.traced.lanes import Lane, Step

_BY_PATH = re.compile(r"posix\.(l?stat|listdir|access|readlink|statvfs)")
"""Reads that say themselves what they ask for, unlike those of descriptors, whose numbers are used again."""


class Question(NamedTuple):
    """A recorded question, of the step *at* of *lane*."""

    lane: Lane
    at: int

    @property
    def step(self) -> Step:
        """The recorded step."""
        return self.lane.steps[self.at]


class Past:
    """The questions and the effects of all threads, by their positions on the tape."""

    def __init__(self) -> None:
        self._questions: dict[Any, list[Question]] = {}
        """The same questions, in the order of their answers."""
        self._effects: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        """Where calls with the same name and text ended, and the calls, in that order."""

    def asked(self, lane: Lane, index: int, *, is_statement: bool) -> None:
        """Note a recorded read; those that no other request may have answered are left out."""
        step = lane.steps[index]
        if is_statement or _BY_PATH.fullmatch(name_of(step.call)):
            question, same = Question(lane, index), self._questions.setdefault(step.key, [])
            insort(same, question, key=_answered)
            hide((question, same))

    def changed(self, step: Step) -> None:
        """Note a recorded effect."""
        same = self._effects.setdefault((name_of(step.call), text_of(step.call)), [])
        insort(same, (step.end, step.call), key=_ended)
        hide((same,))

    def last(self, key: Any, before: int) -> Question | None:
        """Return the last question with *key* that was answered before the position *before*."""
        same = self._questions.get(key, [])
        earlier = bisect_left(same, before, key=_answered)
        return same[earlier - 1] if earlier else None

    def between(self, since: int, until: int) -> list[list[str]]:
        """Return the effects between two positions, each once, without other arguments than a text."""
        found = []
        for (name, text), same in tuple(self._effects.items()):  # a thread may read ahead
            first, end = (bisect_left(same, place, key=_ended) for place in (since, until))
            if first < end:
                found.append((same[first][0], [name, text, shown(same[end - 1][1])]))
        return [told for _, told in sorted(found)]


def _answered(question: Question) -> int:
    return question.step.end


def _ended(effect: tuple[int, Any]) -> int:
    return effect[0]
