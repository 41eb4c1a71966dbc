"""What changed code asked, beside what was asked while recording: is that the same to the outside?

For each request: the effects must be the same, in the same order. A read may be left out, repeated or moved,
if nothing lies between its places that may change what it gives. Ambient calls do not count. A question
without a recorded answer leaves the request undetermined, unless it is an effect, which is a divergence.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadgen.core.classification import Asked, Classified, Kind, Statement, may_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_UP = -1
"""Stands for the number of a request where it is what the application did before it served."""


class Outcome(enum.StrEnum):
    """What a request is to the outside, compared with the recording."""

    SAME = "same"
    DIVERGED = "diverged"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Change:
    """One call that is not as it was."""

    how: str
    """``added``, ``removed``, ``moved``, ``repeated``, ``unanswered``."""
    kind: str
    """What the call is: effect, read, ..."""
    call: str
    where: str = ""
    """The line that asks, where the running code does."""

    def to_json(self) -> dict[str, str]:
        """Return it as it is written into ``verdict.json``."""
        return {"how": self.how, "kind": self.kind, "call": self.call, "where": self.where}


@dataclass(frozen=True, slots=True)
class Aligned:
    """One request's calls, compared."""

    seq: int
    outcome: Outcome
    why: str = ""
    recorded: str = ""
    replayed: str = ""
    where: str = ""
    changes: tuple[Change, ...] = ()
    left: bool = False
    """Whether it ended at a question without an answer."""


@dataclass(slots=True)
class Alignment:
    """All requests' calls, compared."""

    requests: list[Aligned] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Return in words how many calls of each kind there are fewer, more, or elsewhere."""
        counted = Counter((one.kind, one.how) for request in self.requests for one in request.changes)
        return [
            f"{count} {_KINDS.get(kind, kind)}{'s' if count > 1 else ''} {_WORDS[how]}"
            for (kind, how), count in sorted(counted.items())
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written into ``verdict.json``."""
        changed = [one for one in self.requests if one.changes or one.outcome is not Outcome.SAME]
        totals = Counter(
            (one.how, one.kind, _plain(one.call)) for request in self.requests for one in request.changes
        )
        return {
            "summary": self.summary(),
            "calls": [
                {"how": how, "kind": kind, "call": call, "times": times}
                for (how, kind, call), times in totals.most_common(_LISTED)
            ],
            "requests": [
                {
                    "seq": one.seq,
                    "outcome": one.outcome.value,
                    "why": one.why,
                    "changes": [change.to_json() for change in one.changes[:_LISTED]],
                }
                for one in changed[:_LISTED]
            ],
        }


_LISTED = 200
"""Requests, and calls of each, that are listed; all are counted."""
_WORDS = {
    "added": "more", "removed": "fewer", "moved": "moved", "repeated": "repeated",
    "unanswered": "without an answer",
}  # fmt: skip
_KINDS = {"ambient": "clock or chance call", "ends": "end of transaction"}
_HANDLE = re.compile(r"#\d+")


def _plain(shown: str) -> str:
    """Return a call without the handles, which are the recording's own."""
    return _HANDLE.sub("#", shown)


def align(told: Mapping[str, Mapping[str, Any]], classify: Callable[[Asked], Classified]) -> Alignment:
    """Compare what each request did, as the replay tells it."""
    found = Alignment()
    for number, one in sorted(told.items(), key=lambda item: int(item[0])):
        seq = int(number)
        if seq > 0:
            found.requests.append(_Request(seq, one, classify).aligned())
        elif one["ops"]:
            found.requests.append(_Request(START_UP, one, classify).aligned())
    return found


@dataclass(frozen=True, slots=True)
class _Made:
    """A call that the running code made."""

    how: str
    index: int | None
    call: Classified
    where: str
    why: str = ""


class _Request:
    def __init__(self, seq: int, told: Mapping[str, Any], classify: Callable[[Asked], Classified]) -> None:
        self.seq = seq
        self.recorded: dict[int, Classified] = {
            index: classify(Asked(name, text, shown)) for index, name, text, shown in told["recorded"]
        }
        self.made: list[_Made] = []
        for how, index, brief, where, *why in told["ops"]:
            call = self.recorded[index] if index is not None else classify(Asked(*brief))
            self.made.append(_Made(how, index, call, where, why[0] if why else ""))
        self.left = told["left"] == "call"

    def aligned(self) -> Aligned:
        changes = self._changes()
        if not changes and not self.left:
            return Aligned(self.seq, Outcome.SAME)
        problem = self._effects() or self._unanswered() or self._reads()
        if problem is None and self.left:
            problem = Outcome.UNDETERMINED, "the replay could not go on", "(nothing)", "(nothing)", ""
        if problem is None:
            return Aligned(self.seq, Outcome.SAME, changes=changes)
        outcome, why, recorded, replayed, where = problem
        return Aligned(self.seq, outcome, why, recorded, replayed, where, changes, self.left)

    def _effects(self) -> tuple[Outcome, str, str, str, str] | None:
        """Compare the effects, one after the other, as far as the request came."""
        before = [(_plain(call.asked.shown), "") for call in _effective(list(self.recorded.values()))]
        made = [one for one in self.made if one.how != "unanswered"]
        after = [(_plain(one.call.asked.shown), one.where) for one in _effective_made(made)]
        last = self.made[-1] if self.left and self.made and self.made[-1].how == "unanswered" else None
        if last is not None and last.call.kind is Kind.EFFECT:
            after.append((_plain(last.call.asked.shown), last.where))
        for at, (here, where) in enumerate(after):
            there = before[at][0] if at < len(before) else "(nothing)"
            if here != there:
                what = "an effect more" if at >= len(before) else "another effect"
                return Outcome.DIVERGED, what, there, here, where
        if not self.left and len(after) < len(before):
            return Outcome.DIVERGED, "an effect less", before[len(after)][0], "(nothing)", ""
        return None

    def _unanswered(self) -> tuple[Outcome, str, str, str, str] | None:
        taken = {one.index for one in self.made}
        for one in self.made:
            if one.how == "unanswered":
                why = one.why or "it was never recorded in this request"
                left = (
                    call.asked.shown
                    for index, call in self.recorded.items()
                    if index not in taken and call.asked.name == one.call.asked.name
                )
                there = next(left, "")
                why += f"; recorded, and not asked now: {there}" if there else ""
                return Outcome.UNDETERMINED, why, there or "(nothing)", one.call.asked.shown, one.where
        return None

    def _reads(self) -> tuple[Outcome, str, str, str, str] | None:
        """Find a read that was given what it may not have been given where it stands now."""
        effects = {index for index, call in self.recorded.items() if call.kind is Kind.EFFECT}
        done = set[int]()
        for one in self.made:
            if one.index is None:
                continue
            if one.call.kind is Kind.EFFECT:
                done.add(one.index)
            elif one.call.kind is Kind.READ:
                before = {index for index in effects if index < one.index}
                for index in before ^ done:
                    if may_change(self.recorded[index].statement, one.call.statement):
                        why = (
                            "what it gives here was not recorded: it was asked on the other side of a change"
                        )
                        change = self.recorded[index].asked.shown
                        return Outcome.UNDETERMINED, why, change, one.call.asked.shown, one.where
        return None

    def _changes(self) -> tuple[Change, ...]:
        """Return what is added, removed, moved and repeated; steps go with what they belong to."""
        changes = []
        taken = {one.index for one in self.made if one.index is not None}
        for one in self.made:
            kind, shown = one.call.kind, one.call.asked.shown
            if one.how in _HOW and (kind is not Kind.STEP or one.how == "unanswered"):
                changes.append(Change(_HOW[one.how], kind.value, shown, one.where))
        if not self.left:
            changes += [
                Change("removed", call.kind.value, call.asked.shown)
                for index, call in self.recorded.items()
                if index not in taken and call.kind is not Kind.STEP
            ]
        return tuple(changes)


_HOW = {"ambient": "added", "moved": "moved", "repeat": "repeated", "unanswered": "unanswered"}


def _ends(statement: Statement) -> bool:
    return statement.kind is Kind.ENDS


def _effective(calls: Sequence[Classified]) -> list[Classified]:
    """Return the effects: an end of a transaction is one where something was written before it."""
    found, written = [], False
    for call in calls:
        if call.kind is Kind.EFFECT or (_ends(call.statement) and written):
            found.append(call)
            written = call.kind is Kind.EFFECT
    return found


def _effective_made(made: Sequence[_Made]) -> list[_Made]:
    found, written = [], False
    for one in made:
        if one.call.kind is Kind.EFFECT or (_ends(one.call.statement) and written):
            found.append(one)
            written = one.call.kind is Kind.EFFECT
    return found
