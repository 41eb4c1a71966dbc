"""Attribution: whose fault a cause is, with the evidence.

The fault follows only from evidence, and is ``unknown`` if there is not enough. The strongest evidence is
repetition: a recording never changes, so a difference in only some of its replays comes from the replay or
from a race. Nothing is attributed to the engine if the code has changed, or after a request has left the
tape, because objects and steps of that request are then missing for all later ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.option import shell
from loadgen.core.verdict import Fault, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.core.comparison import Difference
    from loadgen.core.verdict import Cause, Divergence, Reason, Verdict

LENGTH = "header:content-length"
"""A consequence of the body."""
_NAMEABLE = re.compile(r"header:\S+|json:\$\..+(?<!\.length)")  # a length has no field


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The evidence for a fault."""

    head: Divergence
    verdicts: Sequence[Verdict]
    changed: Sequence[str] | None

    @property
    def code(self) -> str:
        """Whether the code changed, as the beginning of a sentence."""
        return (
            "its code is unchanged" if self.changed is not None else "whether its code changed is not known"
        )

    @property
    def earlier(self) -> Iterator[Divergence]:
        """The divergences before the head, in the server's order."""
        for verdict in self.verdicts:
            for one in verdict.divergences:
                if one.position is not None and one.position < (self.head.position or 0):
                    yield one

    @property
    def replays(self) -> list[Divergence | None]:
        """The head in each replay; None if that replay answered as recorded.

        An undetermined replay may have ended before the head, so it counts only if it contains the head.
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
    "an address (id(), repr()), a module that a request is the first to import, a background thread, a "
    "thread pool, a temporary file, a library's own randomness"
)
_ANOTHER_WAY = (
    f"Either the application depends on something that is not on the tape ({_NOT_ON_THE_TAPE}), or the "
    "engine replays a call wrongly: loadgen verify --explain shows what each of its calls got."
)
_ONCE_OTHERWISE = (
    "It was recorded with a race between its threads, in memory (look for shared state without a lock), or "
    "depends on something live that has changed: a file, a library, a setting."
)
_IN_ANOTHER_ORDER = (
    "The same values are there in another order: that of a set of objects is the order of their addresses."
)
_Told = tuple[Fault, str, str] | None


def _without(head: Divergence) -> str:
    """Return the command that leaves out the differences; empty if rules cannot name all of them."""
    fields = [one.field for one in head.differences if one.field != LENGTH]
    rules = [field.replace("body:", "json:") for field in fields]
    named = all(_NAMEABLE.fullmatch(rule) for rule in rules)
    options = [word for rule in rules for word in ("--ignore", rule)]
    return shell("verify", *options) if rules and named else ""


def _order(head: Divergence) -> str:
    """Return a sentence if values of a list in the answer are there in another order; empty if not."""
    lists: dict[str, list[Difference]] = {}
    for one in head.differences:
        if one.field.startswith("body:") and one.field.endswith("]"):
            lists.setdefault(one.field.rpartition("[")[0], []).append(one)
    for values in lists.values():
        recorded, replayed = sorted(one.recorded for one in values), sorted(one.replayed for one in values)
        if recorded == replayed:
            return f" {_IN_ANOTHER_ORDER}"
    return ""


def code_changed(changed: Sequence[str]) -> str:
    """Say in a clause which files changed."""
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""  # noqa: PLR2004
    return f"its code changed after the recording: {', '.join(changed[:3])}{more}"


def _transcript_changed(evidence: _Evidence) -> _Told:
    if not any(reason.fault == "transcript" for verdict in evidence.verdicts for reason in verdict.reasons):
        return None
    why = "the transcript was changed after the recording"
    return Fault.TRANSCRIPT, why, "Restore the transcript, or record again."


def _other_request(evidence: _Evidence) -> _Told:
    if evidence.head.code != protocol.NOT_THE_RECORDED_REQUEST:
        return None
    return (
        Fault.HARNESS,
        evidence.head.evidence,
        "This is a fault of loadgen: please report it, with the run folder.",
    )


def _engine_failed(evidence: _Evidence) -> _Told:
    """Attribute to the engine: only for unchanged code, and if no request has left the tape before."""
    left = evidence.head.left
    if (
        left is None
        or left.code not in protocol.ENGINE_FAILED
        or left.after is not None
        or evidence.changed != []
    ):
        return None
    return (
        Fault.ENGINE,
        evidence.head.evidence,
        "The engine failed on its own recording: report it to its authors.",
    )


def _flickers(evidence: _Evidence) -> _Told:
    times, of = sum(one is not None for one in evidence.replays), len(evidence.replays)
    if times == of:
        return None
    often = f"the request differs in {times} of {of} replays of the same recording"
    if any(one.left for one in evidence.replays if one):
        why = f"{often}, and left the tape in those: a race in the application's memory, or the engine"
        return (
            Fault.UNKNOWN,
            why,
            "Look for shared state without a lock. If there is none, the engine is at fault.",
        )
    why = f"{often}, and took every recorded step each time: a race between threads of the application"
    return Fault.APPLICATION, why, "Look for shared state that is read and written without a lock."


def _code_changed(evidence: _Evidence) -> _Told:
    if not evidence.changed:
        return None
    return Fault.APPLICATION, code_changed(evidence.changed), "If the new answers are wanted, record again."


def _left_the_tape(evidence: _Evidence) -> _Told:
    left = evidence.head.left
    if left is None:
        return None
    why = f"{evidence.code}, but it made a different call than recorded: {evidence.head.evidence}"
    if left.after is not None:
        why += f"; request {left.after} had left the tape before, so this may be a consequence"
    return Fault.UNKNOWN, why, _ANOTHER_WAY


def _after_a_departure(evidence: _Evidence) -> _Told:
    """Leave the fault open if an earlier request left the tape: its changes in memory are missing."""
    before = next((one for one in evidence.earlier if one.left is not None), None)
    if before is None:
        return None
    why = f"{evidence.code}; request {before.seq} had left the tape before: its changes in memory are missing"
    return Fault.UNKNOWN, why, f"Find out why request {before.seq} left the tape, then verify again."


def _once_is_not_enough(evidence: _Evidence) -> _Told:
    if len(evidence.replays) > 1:
        return None
    why = f"{evidence.code}; one replay does not show whether a value is missing on the tape or flaky"
    order = _order(evidence.head)
    advice = f"{order.strip()} Replay it several times: loadgen verify --replays 3".strip()
    return Fault.UNKNOWN, why, advice


def _another_each_time(evidence: _Evidence) -> _Told:
    if all(one == evidence.replays[0] for one in evidence.replays):
        return None
    why = f"{evidence.code}, and its answer differs in each of {len(evidence.replays)} replays"
    advice = (
        f"It depends on something that is not on the tape ({_NOT_ON_THE_TAPE}), or on a race between its "
        f"threads.{_order(evidence.head)}"
    )
    if command := _without(evidence.head):
        advice += f" If the value may differ, leave it out: {command}"
    return Fault.APPLICATION, why, advice


_RULES = (
    _transcript_changed,
    _other_request,
    _engine_failed,
    _flickers,
    _code_changed,
    _left_the_tape,
    _after_a_departure,
    _once_is_not_enough,
    _another_each_time,
)
"""Applied in this order; the first rule with a result decides."""


def attribute(
    head: Divergence, verdicts: Sequence[Verdict], changed: Sequence[str] | None
) -> tuple[Fault, str, str]:
    """Return whose fault it is that *head* differs, why, and what to do next.

    *verdicts* are those of all replays of the recording; *changed* names the changed files of the code,
    ``None`` if that is not known.
    """
    evidence = _Evidence(head, verdicts, None if changed is None else list(changed))
    for rule in _RULES:
        if told := rule(evidence):
            return told
    why = f"{evidence.code}, and all {len(evidence.replays)} replays give one answer, not the recorded one"
    return Fault.APPLICATION, why, _ONCE_OTHERWISE + _order(head)


def reattribute(
    reasons: Sequence[Reason], causes: Sequence[Cause], changed: Sequence[str] | None
) -> list[Reason]:
    """Return *reasons*, attributing those of the engine to changed code or to a cause that explains them."""
    return [_explained(one, causes, changed) if one.fault == Fault.ENGINE else one for one in reasons]


def _explained(reason: Reason, causes: Sequence[Cause], changed: Sequence[str] | None) -> Reason:
    if changed:
        return replace(
            reason,
            fault=Fault.APPLICATION.value,
            message=f"{code_changed(changed)}, and: {reason.message}",
            advice=f"If the change is wanted, record again. {reason.advice}".rstrip(),
        )
    departed = next((one for one in causes if one.first.left is not None), None)
    if departed is None:
        return reason
    return replace(
        reason,
        fault=departed.fault.value,
        message=f"after request {departed.first.seq} left the tape: {reason.message}",
    )
