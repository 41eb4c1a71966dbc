"""One verdict of answers and calls: what a replay of changed code answered, and what it asked for it.

Answers alone do not tell a refactoring from a bug: an effect that is not made any more may change no answer.
And a request that asks what was never recorded has no answer to compare: that says nothing of the code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadgen.core.alignment import START_UP, Aligned, Alignment, Outcome
from loadgen.core.comparison import Difference
from loadgen.core.verdict import Divergence, Judgement, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADVICE = "Record again: loadgen record"
KEPT = 20
"""Undetermined requests that are given as reasons, one each; all are counted."""


def settle(verdict: Verdict, alignment: Alignment, asked: Mapping[int, tuple[int, str, str]]) -> None:
    """Amend *verdict* by what was asked; *asked* tells user, method and target of requests."""
    by_seq = {one.seq: one for one in alignment.requests}
    evidence = {one.seq: one.evidence for one in verdict.divergences}
    undetermined = [one for one in alignment.requests if one.outcome is Outcome.UNDETERMINED]
    kept = [one for one in verdict.divergences if not _unknown(by_seq.get(one.seq))]
    verdict.diverged -= len(verdict.divergences) - len(kept)
    differing = {one.seq for one in kept}
    verdict.divergences = [_with_calls(one, by_seq.get(one.seq)) for one in kept]
    for one in alignment.requests:
        if one.outcome is Outcome.DIVERGED and one.seq not in differing:
            user, method, target = asked.get(one.seq, (0, "", "(before it served)"))
            verdict.divergences.append(
                _with_calls(Divergence(max(one.seq, 0), user, method, target, ()), one)
            )
            verdict.diverged += 1
    if verdict.order is not None and any(one.left for one in alignment.requests):
        verdict.order = None  # what did not finish has no place in it
    verdict.reasons += _reasons(undetermined, asked, evidence)
    if verdict.divergences or verdict.order:
        verdict.judgement = Judgement.DIVERGED
    elif verdict.reasons:
        verdict.judgement = Judgement.UNDETERMINED
    else:
        whole = verdict.compared == verdict.requests > 0
        verdict.judgement = Judgement.IDENTICAL if whole else Judgement.UNDETERMINED
    verdict.facts["alignment"] = alignment.to_json()


def _unknown(one: Aligned | None) -> bool:
    return one is not None and one.outcome is Outcome.UNDETERMINED


def _with_calls(divergence: Divergence, one: Aligned | None) -> Divergence:
    """Add what a request asked otherwise to how it answered otherwise."""
    if one is None or one.outcome is not Outcome.DIVERGED:
        return divergence
    # What ties divergences to one cause: the line, or the callable, without arguments, which differ.
    evidence = f"{one.why}, at {one.where}" if one.where else f"{one.why}: {one.recorded.partition('(')[0]}"
    calls = Difference("calls", one.recorded, one.replayed)
    differences = tuple(each for each in divergence.differences if each.field != "outcome")
    return replace(divergence, differences=(calls, *differences), evidence=evidence)


def _reasons(
    undetermined: Iterable[Aligned],
    asked: Mapping[int, tuple[int, str, str]],
    evidence: Mapping[int, str],
) -> list[Reason]:
    """Return a reason for each question that was not recorded; the requests that ask it are counted."""
    groups: dict[str, list[Aligned]] = {}
    for one in undetermined:
        groups.setdefault(one.where or one.replayed, []).append(one)
    reasons = []
    for members in list(groups.values())[:KEPT]:
        first = members[0]
        _, method, target = asked.get(first.seq, (0, "", ""))
        who = (
            "the application's start" if first.seq == START_UP else f"request {first.seq} ({method} {target})"
        )
        more = f", and {len(members) - 1} more" if len(members) > 1 else ""
        at = f", at {first.where}" if first.where else ""
        what = f"{first.replayed}{at}: {first.why}" if first.where else evidence.get(first.seq, first.why)
        reasons.append(Reason("application", f"{who}{more}: {what}", ADVICE))
    return reasons
