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
        self._effects: list[tuple[int, int, Step]] = []

    def asked(self, lane: Lane, index: int, *, is_statement: bool) -> None:
        """Note a recorded read; those that no other request may have answered are left out."""
        step = lane.steps[index]
        if is_statement or _BY_PATH.fullmatch(name_of(step.call)):
            self._questions.setdefault(step.key, []).append(Question(lane, index))

    def changed(self, step: Step) -> None:
        """Note a recorded effect."""
        insort(self._effects, (step.end, id(step), step))

    def last(self, key: Any, before: int) -> Question | None:
        """Return the last question with *key* that was answered before the position *before*."""
        found = (one for one in self._questions.get(key, ()) if one.step.end < before)
        return max(found, key=lambda one: one.step.end, default=None)

    def between(self, since: int, until: int) -> list[list[str]]:
        """Return the effects between two positions, each once, without other arguments than a text."""
        first, end = bisect_left(self._effects, (since,)), bisect_left(self._effects, (until,))
        calls = (step.call for _, _, step in self._effects[first:end])
        return [
            *{
                (name_of(call), text_of(call)): [name_of(call), text_of(call), shown(call)] for call in calls
            }.values()
        ]
