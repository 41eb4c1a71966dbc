"""Diagnosis: from what differs to whose fault it is, with the evidence.

Divergences that follow from one another are one cause: they left the tape at the same place, they shift a
number by the same amount, they change a value into the same other one, or they change the same field of the
same kind of request. A cause is told by its first divergence in the server's order.

Whose fault a cause is follows from evidence alone, and is ``unknown`` where there is not enough of it. The
strongest evidence is repetition: a recording never changes, so what differs in some of its replays only is
the replay's doing, or a race.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadgen.core.verdict import Divergence, Verdict

LISTED = 50
"""Requests that a cause lists in ``verdict.json``; all are counted."""

NOT_THE_RECORDED = "the live request is not the recorded one"
"""How the boundary's evidence begins where a live request is not the one that the tape has."""
CANNOT_READ = "the engine cannot"
"""How it begins where the engine itself failed."""


class Fault(enum.StrEnum):
    """At whose door a cause lies."""

    APPLICATION = "application"
    ENGINE = "engine"
    TRANSCRIPT = "transcript"
    HARNESS = "harness"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """Divergences that have one cause."""

    fault: Fault
    why: str
    """The evidence for the fault, in a sentence."""
    advice: str
    first: Divergence
    """The first of them in the server's order."""
    count: int
    requests: tuple[int, ...]
    """Their sequence numbers, in the server's order."""

    @property
    def headline(self) -> str:
        """What differs first, in a sentence."""
        one = self.first.differences[0]
        what = f"{one.field}: {one.recorded} while recording, {one.replayed} in the replay"
        return f"request {self.first.seq} ({self.first.method} {self.first.target}): {what}"

    def to_json(self) -> dict[str, Any]:
        """Return the cause as it is written into ``verdict.json``."""
        return {
            "fault": self.fault.value,
            "headline": self.headline,
            "why": self.why,
            "advice": self.advice,
            "first": self.first.seq,
            "head": asdict(self.first),  # another replay may have it: this verdict then does not
            "count": self.count,
            "requests": list(self.requests[:LISTED]),
        }


def group(divergences: Sequence[Divergence]) -> list[list[Divergence]]:
    """Gather divergences that follow from one another; *divergences* and the groups are in server order."""
    parent = list(range(len(divergences)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    seen: dict[object, int] = {}
    for at, divergence in enumerate(divergences):
        for signature in _signatures(divergence):
            first = root(seen.setdefault(signature, at))
            parent[max(first, root(at))] = min(first, root(at))
    groups: dict[int, list[Divergence]] = {}
    for at, divergence in enumerate(divergences):
        groups.setdefault(root(at), []).append(divergence)
    return list(groups.values())


_NAMEABLE = re.compile(r"header:\S+|json:\$\..+(?<!\.length)")  # what is longer or shorter has no name
_LENGTH = "header:content-length"
"""Follows from the body, and would tie everything to everything."""


def numberless(text: str) -> str:
    """Return *text* with an ``N`` for each of its numbers: what differs in them alone is of one kind."""
    return re.sub(r"\d+", "N", text)


def _signatures(divergence: Divergence) -> Iterator[object]:
    """Yield what ties a divergence to others of the same cause."""
    kind = (divergence.method, numberless(divergence.target))
    if divergence.evidence:
        yield "left", numberless(divergence.evidence)
        return
    told = [one for one in divergence.differences if one.field != _LENGTH] or list(divergence.differences)
    for one in told:
        if one.field.startswith("request "):  # what a client asked for: it asks otherwise for one reason
            yield "asked", one.field
        yield "field", kind, numberless(one.field)
        shift = _shift(one.recorded, one.replayed)
        if shift is not None:
            yield "shift", shift
        elif one.field.startswith("body:"):
            yield "values", one.recorded, one.replayed


def _shift(recorded: str, replayed: str) -> int | None:
    """Return by how much a whole number is shifted, if both are such and not the same."""
    try:
        before, after = json.loads(recorded), json.loads(replayed)
    except ValueError:
        return None
    return after - before if type(before) is int and type(after) is int else None


def diagnose(verdicts: Sequence[Verdict], changed_sources: Sequence[str] | None) -> list[Cause]:
    """Return the causes of what differs in one or more replays of one recording, the first in order first.

    *changed_sources* names the files of the application that are not what they were while recording; none
    where that is not known.
    """
    first_seen: dict[int, Divergence] = {}
    for verdict in verdicts:
        for divergence in verdict.divergences:
            first_seen.setdefault(divergence.seq, divergence)
    if not first_seen:
        return []
    everything = _in_order(first_seen.values(), verdicts)
    return [_cause(members, verdicts, changed_sources) for members in group(everything)]


def _in_order(divergences: Iterable[Divergence], verdicts: Sequence[Verdict]) -> list[Divergence]:
    """Sort by the server's order: each verdict has its own divergences in it already."""
    if len(verdicts) == 1:
        return list(divergences)
    return sorted(divergences, key=lambda one: (one.position is None, one.position or 0, one.seq))


def _cause(members: list[Divergence], verdicts: Sequence[Verdict], changed: Sequence[str] | None) -> Cause:
    fault, why, advice = _attribute(_Case(members[0], verdicts, changed))
    return Cause(fault, why, advice, members[0], len(members), tuple(one.seq for one in members))


@dataclass(frozen=True, slots=True)
class _Case:
    """What a fault is told from."""

    head: Divergence
    verdicts: Sequence[Verdict]
    changed: Sequence[str] | None

    @property
    def code(self) -> str:
        """What is known of its code, to begin a sentence with."""
        return (
            "its code is unchanged" if self.changed is not None else "whether its code changed is not known"
        )

    @property
    def replays(self) -> list[Divergence | None]:
        """The head as each replay has it; none where that replay answered as recorded.

        A replay that is undetermined may have ended before it: it counts only if it shows the head.
        """
        heads = [
            (
                verdict,
                next(
                    (replace(one, position=None) for one in verdict.divergences if one.seq == self.head.seq),
                    None,
                ),
            )
            for verdict in self.verdicts
        ]
        return [one for verdict, one in heads if one or verdict.judgement is not Judgement.UNDETERMINED]


_NOT_ON_THE_TAPE = (
    "an address (id(), repr()), a background thread, a thread pool, a temporary file, a library's own "
    "randomness"
)
_ANOTHER_WAY = (
    f"Either the application depends on something that is not on the tape ({_NOT_ON_THE_TAPE}), or the "
    "engine replays a call wrongly: loadgen verify --explain shows what each of its calls got."
)
_ONCE_OTHERWISE = (
    "It was recorded with a race between its threads, in memory (look for shared state without a lock), or "
    "depends on something live that has changed: a file, a library, a setting."
)
_Told = tuple[Fault, str, str] | None


def _rules_to_ignore(head: Divergence) -> str:
    """Return the options that leave out what differs; none if no rule could name all of it."""
    fields = [one.field for one in head.differences if one.field != _LENGTH]
    rules = [field.replace("body:", "json:") for field in fields]
    named = all(_NAMEABLE.fullmatch(rule) for rule in rules)
    return " ".join(f"--ignore '{rule}'" for rule in rules) if rules and named else ""


def _transcript_changed(case: _Case) -> _Told:
    if not any(reason.fault == "transcript" for verdict in case.verdicts for reason in verdict.reasons):
        return None
    why = "the transcript is not what was recorded: it was changed afterwards"
    return Fault.TRANSCRIPT, why, "Restore the transcript, or record again."


def _other_request(case: _Case) -> _Told:
    if not case.head.evidence.startswith(NOT_THE_RECORDED):
        return None
    return (
        Fault.HARNESS,
        case.head.evidence,
        "This is a fault of loadgen: please report it, with the run folder.",
    )


def _engine_failed(case: _Case) -> _Told:
    if not case.head.evidence.startswith(CANNOT_READ):
        return None
    return (
        Fault.ENGINE,
        case.head.evidence,
        "The engine failed on its own recording: report it to its authors.",
    )


def _flickers(case: _Case) -> _Told:
    times, of = sum(one is not None for one in case.replays), len(case.replays)
    if times == of:
        return None
    often = f"it differs in {times} of {of} replays of one recording"
    if any(one.evidence for one in case.replays if one):
        why = f"{often}, and left the tape there: a race in the application's memory, or the engine"
        return (
            Fault.UNKNOWN,
            why,
            "Look for shared state without a lock; without any, it is the engine's.",
        )
    why = f"{often}, and took every recorded step each time: a race between its threads, in its own memory"
    return Fault.APPLICATION, why, "Look for shared state that is read and written without a lock."


def _code_changed(case: _Case) -> _Told:
    if not case.changed:
        return None
    more = f" and {len(case.changed) - 3} more" if len(case.changed) > 3 else ""  # noqa: PLR2004
    why = f"its code is not what was recorded: {', '.join(case.changed[:3])}{more} changed"
    return Fault.APPLICATION, why, "If the new answers are wanted, record again."


def _left_the_tape(case: _Case) -> _Told:
    if not case.head.evidence:
        return None
    why = f"{case.code}, and it goes another way than recorded: {case.head.evidence}"
    return Fault.UNKNOWN, why, _ANOTHER_WAY


def _once_is_not_enough(case: _Case) -> _Told:
    if len(case.replays) > 1:
        return None
    why = f"{case.code}; one replay cannot tell a value that is not on the tape from a flaky replay"
    return Fault.UNKNOWN, why, "Replay it several times: loadgen verify --replays 3"


def _another_each_time(case: _Case) -> _Told:
    if all(one == case.replays[0] for one in case.replays):
        return None
    why = f"{case.code}, and it answers otherwise in each of {len(case.replays)} replays"
    advice = (
        f"It depends on something that is not on the tape ({_NOT_ON_THE_TAPE}), or on a race between its "
        "threads, in memory."
    )
    if rules := _rules_to_ignore(case.head):
        advice += f" If it may differ, leave it out: loadgen verify {rules}"
    return Fault.APPLICATION, why, advice


_RULES = (
    _transcript_changed,
    _other_request,
    _engine_failed,
    _flickers,
    _code_changed,
    _left_the_tape,
    _once_is_not_enough,
    _another_each_time,
)
"""Asked in this order; the first that can tell does."""


def _attribute(case: _Case) -> tuple[Fault, str, str]:
    for rule in _RULES:
        if told := rule(case):
            return told
    why = f"{case.code}, and all {len(case.replays)} replays give the same answer, another one"
    return Fault.APPLICATION, why, _ONCE_OTHERWISE
