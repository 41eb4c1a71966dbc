"""Compares the calls of changed code with the recorded calls, as the outside sees them.

For each request, the effects must be the same, in the same order. A read may be left out, repeated or moved,
if nothing between its two positions may change its result. Ambient calls are not compared. A question without
a recorded answer leaves the request undetermined, unless it is an effect, which is a divergence.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loadgen.core.classification import Asked, Classified, Kind, Statement, may_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

START_UP = -1
"""Used in place of a request's number for what the application did before it served."""


class Outcome(enum.StrEnum):
    """The result of comparing a request's calls with the recording."""

    SAME = "same"
    DIVERGED = "diverged"
    UNDETERMINED = "undetermined"


class How(enum.StrEnum):
    """How a call differs from the recording."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    REPEATED = "repeated"
    UNANSWERED = "unanswered"
    """Made, but never recorded."""


@dataclass(frozen=True, slots=True)
class Change:
    """One call that differs from the recording."""

    how: How
    kind: str
    """The kind of the call: effect, read, ..."""
    recorded: str = ""
    """The recorded call; empty if there was none."""
    replayed: str = ""
    """The call of the running code; empty if it makes none."""
    where: str = ""
    """The line that makes the call, if the running code does."""


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
    """Whether the request ended at a question without an answer."""
    reconnects: bool = False
    """Whether the first effect that differs comes behind a connection that was not opened here then."""
    after: int | None = None
    """The request that left a pool without this connection, if one did."""
    ran: tuple[str, ...] = ()
    """The recorded statements, without arguments."""
    runs: tuple[str, ...] = ()
    """The statements of the replay, without arguments."""


@dataclass(slots=True)
class Alignment:
    """All requests' calls, compared."""

    requests: list[Aligned] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Return in words how many calls of each kind are missing, additional or moved."""
        counted = Counter((one.kind, one.how) for request in self.requests for one in request.changes)
        return [
            f"{count} {_KINDS.get(kind, (kind, kind + 's'))[count > 1]} {_WORDS[how]}"
            for (kind, how), count in sorted(counted.items())
        ]


_WORDS = {
    How.ADDED: "more", How.REMOVED: "fewer", How.CHANGED: "changed", How.MOVED: "moved",
    How.REPEATED: "repeated", How.UNANSWERED: "without an answer",
}  # fmt: skip
_KINDS = {
    "ambient": ("clock or chance call", "clock or chance calls"),
    "ends": ("end of a transaction", "ends of transactions"),
}
_CONNECTS = re.compile(r"socket\.connect(_ex)?$")
_TO_SAVEPOINT = re.compile(r"\s*rollback\s+((work|transaction)\s+)?to\b", re.IGNORECASE)
"""Undoes a part of a transaction, which goes on."""
_HANDLE = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|#\d+""")
"""A handle, or a quoted text, which may look like one."""


def _plain(shown: str) -> str:
    """Return a call without its handles, which differ between recordings."""
    return _HANDLE.sub(lambda found: "#" if found[0][0] == "#" else found[0], shown)


def align(told: Mapping[str, Mapping[str, Any]], classify: Callable[[Asked], Classified]) -> Alignment:
    """Compare the calls of each request, as reported by the replay."""
    found = Alignment()
    for number, one in sorted(told.items(), key=lambda item: int(item[0])):
        seq = int(number)
        if seq > 0:
            each = (_Request(seq, part, classify).aligned() for part in (one, *one.get("threads", ())))
            found.requests.append(_together(tuple(each)))
        elif one["ops"]:
            found.requests.append(_Request(START_UP, one, classify).aligned())
    found.requests = _with_lost_connections(found.requests)
    return found


def _with_lost_connections(requests: list[Aligned]) -> list[Aligned]:
    """Tell which requests open a connection only because another one ended, and closed that of the pool."""
    ended = [one for one in requests if one.left and not one.reconnects]
    origin = min(ended, key=lambda one: (_WORST.index(one.outcome), one.seq), default=None)
    if origin is None:
        return requests
    why = f"it opens a connection, because request {origin.seq} could not go on, and closed one of the pool"
    consequence = (
        {"outcome": Outcome.UNDETERMINED, "why": why} if origin.outcome is Outcome.UNDETERMINED else {}
    )
    return [
        replace(one, after=origin.seq, **consequence)  # type: ignore[arg-type]
        if one.reconnects and one.outcome is Outcome.DIVERGED
        else one
        for one in requests
    ]


_WORST = (Outcome.DIVERGED, Outcome.UNDETERMINED, Outcome.SAME)


def _together(each: Sequence[Aligned]) -> Aligned:
    """Combine what a request did itself with what the threads that it started did."""
    if len(each) == 1:
        return each[0]
    return replace(
        min(each, key=lambda one: _WORST.index(one.outcome)),
        changes=tuple(change for one in each for change in one.changes),
        left=any(one.left for one in each),
        ran=tuple(text for one in each for text in one.ran),
        runs=tuple(text for one in each for text in one.runs),
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """A call that the running code made."""

    how: str
    index: int | None
    call: Classified
    where: str
    why: str = ""
    connection: int | None = None
    """The number of the connection that it was made on, among those of its side, if that is known."""
    between: tuple[Classified, ...] = ()
    """Effects between the moment of its answer and its own, if another request was given the answer."""

    @property
    def is_recorded(self) -> bool:
        """Whether the call may be a recorded one, by its description."""
        return self.how not in ("unanswered", "supposed", "instead", "past")

    @property
    def unanswered(self) -> bool:
        """Whether it has no recorded answer; a call that the replay assumed to be an effect may be none."""
        if self.how in ("supposed", "instead"):
            return self.call.kind not in (Kind.EFFECT, Kind.STEP, Kind.ENDS)
        return self.how in ("unanswered", "other") or (self.how == "past" and self.call.kind is not Kind.READ)

    @property
    def change(self) -> How | None:
        """How it differs; None if it does not."""
        return How.UNANSWERED if self.unanswered else _HOW.get(self.how)


class _Request:
    def __init__(self, seq: int, told: Mapping[str, Any], classify: Callable[[Asked], Classified]) -> None:
        self.seq = seq
        self.recorded: dict[int, Classified] = {
            index: classify(Asked(*brief)) for index, *brief, _ in told["recorded"]
        }
        self.made: list[_Made] = []
        self._asked = [
            _Made("same", index, self.recorded[index], "", connection=connection)
            for index, *_, connection in told["recorded"]
        ]
        for how, index, brief, where, connection, *more in told["ops"]:
            call = classify(Asked(*brief)) if brief else self.recorded[index]
            made = _Made(how, index, call, where, connection=connection)
            if how == "past":
                made = replace(made, between=tuple(classify(Asked(*one)) for one in more[0]))
            elif more:
                made = replace(made, why=more[0])
            self.made.append(made)
        self.left = bool(told["left"])

    def aligned(self) -> Aligned:
        changes = self._changes()
        ran = tuple(_statements(self.recorded.values()))
        runs = tuple(_statements(one.call for one in self.made))
        effects = self._effects(self.made, left=self.left)
        if not changes and not self.left and effects is None:
            return Aligned(self.seq, Outcome.SAME, ran=ran, runs=runs)
        problem = self._stale() or effects or self._unanswered() or self._reads()
        if problem is None and self.left:
            problem = Outcome.UNDETERMINED, "the replay could not go on", "(nothing)", "(nothing)", ""
        if problem is None:
            return Aligned(self.seq, Outcome.SAME, changes=changes, ran=ran, runs=runs)
        outcome, why, recorded, replayed, where = problem
        reconnects = outcome is Outcome.DIVERGED and self._reconnects()
        return Aligned(
            self.seq, outcome, why, recorded, replayed, where, changes,
            left=self.left, reconnects=reconnects, ran=ran, runs=runs,
        )  # fmt: skip

    def _reconnects(self) -> bool:
        """Whether a connection was opened that the recording did not open, before any effect was more."""
        for one in self.made:
            if one.how == "supposed" and _CONNECTS.search(one.call.asked.name):
                return True
            if not one.is_recorded and one.call.kind is Kind.EFFECT:
                return False
        return False

    def _effects(self, made: Sequence[_Made], *, left: bool) -> tuple[Outcome, str, str, str, str] | None:
        """Compare the effects, one after the other, as far as the request got: *left*, if not to its end."""
        recorded, replayed = _effective(self._asked), _effective(made)
        before = [one.shown for one in recorded]
        # A call with a substituted answer never counts as the same, even if its description is equal.
        same = [one.shown if one.made.is_recorded else "" for one in replayed]
        for at, one in enumerate(replayed):
            there, here, where = before[at] if at < len(before) else "", one.shown, one.made.where
            if there and same[at] == there:
                if one.ends == recorded[at].ends:
                    continue
                there, here = recorded[at].with_what_it_ends(recorded), one.with_what_it_ends(replayed)
                return Outcome.DIVERGED, "the end of another transaction", there, here, where
            rest = same[at:]
            if not there or (there in rest and here not in before[at:]):
                return Outcome.DIVERGED, "an effect more", "(nothing)", here, where
            if same[at] in before[at:] and there not in rest and not left:
                return Outcome.DIVERGED, "an effect less", there, "(nothing)", ""
            return Outcome.DIVERGED, "another effect", there, here, where
        if not left and len(replayed) < len(before):
            return Outcome.DIVERGED, "an effect less", before[len(replayed)], "(nothing)", ""
        return None

    def _unanswered(self) -> tuple[Outcome, str, str, str, str] | None:
        for one in self.made:
            if one.unanswered:
                why = one.why or _WHY.get(one.how, "it was never recorded in this request")
                there = self._replaced(one)
                why += f"; recorded, and not asked now: {there}" if there else ""
                return Outcome.UNDETERMINED, why, there or "(nothing)", one.call.asked.shown, one.where
        return None

    def _replaced(self, asked: _Made) -> str:
        """Return the recorded call that *asked* probably replaces: the first that is no longer made."""
        if asked.index is not None:
            return self.recorded[asked.index].asked.shown
        taken = {one.index for one in self.made}
        left = (
            call.asked.shown
            for index, call in self.recorded.items()
            if index not in taken and call.asked.name == asked.call.asked.name
        )
        return next(left, "")

    def _reads(self) -> tuple[Outcome, str, str, str, str] | None:
        """Find a read with a result that may be wrong at its new position."""
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

    def _stale(self) -> tuple[Outcome, str, str, str, str] | None:
        """Find a read with another request's answer that may have changed since, or what differs before."""
        written = list[Classified]()
        for at, one in enumerate(self.made):
            if one.call.kind is Kind.EFFECT:
                written.append(one.call)
            for change in (*one.between, *written) if one.how == "past" else ():
                if change.kind is Kind.EFFECT and may_change(change.statement, one.call.statement):
                    why = "what it gives here was not recorded: it may have changed since it was asked before"
                    stale = Outcome.UNDETERMINED, why, change.asked.shown, one.call.asked.shown, one.where
                    return self._effects(self.made[:at], left=True) or stale
        return None

    def _changes(self) -> tuple[Change, ...]:
        """Return the added, removed, changed, moved and repeated calls; steps belong to their statements."""
        changes = []
        taken = {one.index for one in self.made if one.index is not None}
        for one in self.made:
            how, kind, shown = one.change, one.call.kind, one.call.asked.shown
            if how is None or not (_is_listed(one.call) or how is How.UNANSWERED):
                continue
            before = shown if how is How.MOVED else ""
            if how in (How.CHANGED, How.UNANSWERED):
                before = self._replaced(one)
            changes.append(Change(how, kind.value, before, shown, one.where))
        if not self.left:
            changes += [
                Change(How.REMOVED, call.kind.value, call.asked.shown)
                for index, call in self.recorded.items()
                if index not in taken and _is_listed(call)
            ]
        return tuple(changes)


_WHY = {"other": "it was asked of an object that was made, set or used before in another way"}
_HOW = {
    "ambient": How.ADDED, "moved": How.MOVED, "repeat": How.REPEATED, "unanswered": How.UNANSWERED,
    "supposed": How.ADDED, "instead": How.CHANGED, "other": How.CHANGED, "past": How.ADDED,
}  # fmt: skip
"""How a call differs, by the kind of answer that the replay gave; other kinds do not differ."""


def _is_listed(call: Classified) -> bool:
    """Whether a call counts by itself; what is loadgen's own is none of the application's."""
    return call.kind is not Kind.STEP and not call.asked.name.startswith("loadgen.")


def _statements(calls: Iterable[Classified]) -> Iterator[str]:
    """Yield the statements among *calls* that read or write."""
    for call in calls:
        if call.is_statement and call.kind in (Kind.READ, Kind.EFFECT):
            yield " ".join(call.asked.text.split())


def _ends(statement: Statement) -> bool:
    return statement.kind is Kind.ENDS


@dataclass(frozen=True, slots=True)
class _Effect:
    """An effect; the end of a transaction is one only if its connection wrote something before it."""

    made: _Made
    ends: tuple[int, ...] = ()
    """Positions of the effects that belong to the transaction that it ends."""

    @property
    def shown(self) -> str:
        return _plain(self.made.call.asked.shown)

    def with_what_it_ends(self, of: Sequence[_Effect]) -> str:
        """Return the call, and the first effect of its transaction, with its position."""
        return f"{self.shown} of effect {self.ends[0] + 1}, {of[self.ends[0]].shown}"


def _ended(written: Sequence[tuple[int, int | None]], on: int | None, since: int) -> tuple[int, ...]:
    """Return the positions, from *since* on, of the effects that belong to the transaction of *on*."""
    found = []
    for at, by in reversed(written):
        if at < since:
            break
        if by == on or None in (by, on):
            found.append(at)
    return tuple(reversed(found))


def _effective(made: Iterable[_Made]) -> list[_Effect]:
    """Return the effects.

    A write of an unknown connection may belong to any transaction, and the end of one to any connection.
    """
    found, written, ended = list[_Effect](), list[tuple[int, int | None]](), dict[int | None, int]()
    for one in made:
        on = one.connection
        if _ends(one.call.statement):
            if ends := _ended(written, on, ended.get(on, 0)):
                found.append(_Effect(one, ends))
            if not _TO_SAVEPOINT.match(one.call.asked.text):
                ended[on] = len(found)
        elif one.call.kind is Kind.EFFECT:
            if one.call.is_transactional:
                written.append((len(found), on))
            found.append(_Effect(one))
    return found
