"""Combines answers and calls of changed code into one verdict.

Answers alone do not distinguish a refactoring from a bug: a missing effect may change no answer. And a
request that asks a question that was never recorded has no answer to compare, which says nothing about the
code.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.alignment import START_UP, Aligned, Alignment, Outcome
from loadgen.core.comparison import Difference
from loadgen.core.departure import Departure
from loadgen.core.verdict import (
    CallDifference,
    Divergence,
    Reason,
    Route,
    Runs,
    Undecided,
    Verdict,
    judged,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from loadgen.core.exchange import Request

ADVICE = "Record again: loadgen record"
KEPT = 1000
"""Number of undecided requests and calls that are kept; all are counted."""
GIVEN = 20
"""Number of questions without an answer that are listed as reasons."""


def settled(verdict: Verdict, alignment: Alignment, requests: Mapping[int, Request]) -> Verdict:
    """Return *verdict*, taking the calls into account."""
    by_seq = {one.seq: one for one in alignment.requests}
    unknown = [one for one in alignment.requests if one.outcome is Outcome.UNDETERMINED]
    unknown_seqs = {one.seq for one in unknown}
    kept = [one for one in verdict.divergences if one.seq not in unknown_seqs]
    evidence = {one.seq: one.evidence for one in verdict.divergences if one.seq in unknown_seqs}
    diverged = verdict.diverged - len(evidence)
    differing = {one.seq for one in kept}
    divergences = [_with_calls(one, by_seq.get(one.seq)) for one in kept]
    for one in alignment.requests:
        if one.outcome is Outcome.DIVERGED and one.seq not in differing:
            divergences.append(_with_calls(_same_answer(one, requests), one))
            diverged += 1
    # A request that did not reach its end has no position in the order; and where calls are more or fewer,
    # a lock of a log's handler among them, others may come first without any effect on what they do.
    ends = any(one.code == protocol.RECORDING_INCOMPLETE for one in verdict.reasons)
    comparable = not ends and not any(one.left or one.changes for one in alignment.requests)
    order, steps = (verdict.order, verdict.order_steps) if comparable else (None, None)
    undecided = tuple(_undecided(one, requests, evidence) for one in unknown)
    # A question that stopped the start explains why nothing was served.
    first = any(one.seq == START_UP for one in unknown)
    asked = _reasons(undecided)
    reasons = (*asked, *verdict.reasons) if first else (*verdict.reasons, *asked)
    complete = verdict.compared == verdict.requests > 0
    return replace(
        verdict,
        judgement=judged(reasons, differs=bool(divergences or order), complete=complete),
        reasons=reasons,
        # What a request answers after a question without an answer says nothing, whatever it is.
        compared=max(0, verdict.compared - len(unknown_seqs - {START_UP})),
        diverged=diverged,
        divergences=tuple(divergences),
        undecided=undecided[:KEPT],
        calls=tuple(islice(_calls(alignment, requests), KEPT)),
        order=order,
        order_steps=steps,
        facts=replace(
            verdict.facts, asked=tuple(alignment.summary()), routes=tuple(_routes(alignment, requests))
        ),
    )


def _same_answer(one: Aligned, requests: Mapping[int, Request]) -> Divergence:
    """Return the divergence of a request with the recorded answer but different effects."""
    asked = requests.get(one.seq)
    if asked is None:
        return Divergence(0, 0, "", "(before it served)", ())
    return Divergence(one.seq, asked.user, asked.method, asked.target, ())


def _with_calls(divergence: Divergence, one: Aligned | None) -> Divergence:
    """Add the differing calls of a request to its differing answer."""
    if one is None or one.outcome is not Outcome.DIVERGED:
        return divergence
    calls = Difference("calls", one.recorded, one.replayed)
    answers = tuple(each for each in divergence.differences if each.field != "outcome")
    # Divergences of one cause share the line, or the callable without its arguments, which vary.
    why = one.why if one.where else f"{one.why}: {one.recorded.partition('(')[0]}"
    stack = (one.where,) if one.where else ()
    left = Departure(protocol.ANOTHER_EFFECT, why, stack, after=one.after)
    return replace(divergence, differences=(calls, *answers), left=left)


def _undecided(one: Aligned, requests: Mapping[int, Request], evidence: Mapping[int, str]) -> Undecided:
    asked = requests.get(one.seq)
    user, method, target = (asked.user, asked.method, asked.target) if asked else (0, "", "")
    what = f"{one.replayed}, at {one.where}: {one.why}" if one.where else evidence.get(one.seq) or one.why
    if one.seq == START_UP:
        what = f"before it served: {what}"
    stack = (one.where,) if one.where else ()
    seq = max(one.seq, 0)
    return Undecided(seq, user, method, target, protocol.QUESTION_NOT_RECORDED, what, ADVICE, stack)


def _reasons(undecided: Iterable[Undecided]) -> list[Reason]:
    """Return a reason for each question that was not recorded, with the number of requests that ask it."""
    groups: dict[str, list[Undecided]] = {}
    for one in undecided:
        groups.setdefault(one.stack[0] if one.stack else one.why, []).append(one)
    reasons = []
    for members in list(groups.values())[:GIVEN]:
        first = members[0]
        more = f" and {len(members) - 1} more" if len(members) > 1 else ""
        who = f"request {first.seq} ({first.method} {first.target}){more}" if first.seq else "the application"
        what = f"{who} cannot be judged: {first.why}"
        reasons.append(Reason("application", what, ADVICE, protocol.QUESTION_NOT_RECORDED))
    return reasons


def _calls(alignment: Alignment, requests: Mapping[int, Request]) -> Iterable[CallDifference]:
    """Return the calls that differ."""
    for request in alignment.requests:
        asked = requests.get(request.seq)
        named = route(asked) if asked else ""
        for one in request.changes:
            yield CallDifference(
                max(request.seq, 0), one.kind, one.recorded, one.replayed, one.where, one.how.value, named
            )


def route(request: Request) -> str:
    """Return the method and the path of *request*, with N for each number."""
    return f"{request.method} {_NUMBER.sub('N', request.target.partition('?')[0])}"


def _routes(alignment: Alignment, requests: Mapping[int, Request]) -> Iterator[Route]:
    """Yield the routes that run a different number of statements, by requests that reached their ends."""
    found: dict[str, list[Aligned]] = {}
    for one in alignment.requests:
        if (asked := requests.get(one.seq)) is not None and not one.left:
            found.setdefault(route(asked), []).append(one)
    for name, members in found.items():
        if any(len(one.ran) != len(one.runs) for one in members):
            recorded, replayed = _runs([one.ran for one in members]), _runs([one.runs for one in members])
            yield Route(name, len(members), recorded, replayed)


_NUMBER = re.compile(r"\d+")


def _runs(each: Sequence[tuple[str, ...]]) -> Runs:
    """Return how many statements requests ran, and whether only the repetitions of one statement vary."""
    totals = [len(one) for one in each]
    least, most = min(totals), max(totals)
    if least == most:
        return Runs(least, most)
    counts = [Counter(one) for one in each]
    varying = {text for one in counts for text in one if len({other[text] for other in counts}) > 1}
    if len(varying) > 1:
        return Runs(least, most)
    repeated = [one[next(iter(varying))] for one in counts]
    return Runs(least, most, least - min(repeated) if max(repeated) > 1 else None)
