"""Diff: compare two transcripts without replaying anything, with the comparison that verify uses.

Two recordings issue their requests in different orders, so answers are paired from the clients' view: by
virtual user, and that user's first, second, ... request. A difference between paired requests is itself a
difference. The server's order is compared where the numbering is the same, as between a
recording and its replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from loadgen.core.comparison import REQUEST_FIELD, RULES, Difference, Rule, compare, told
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import KEPT
from loadgen.core.verdict import Divergence, Facts, Judgement, Reason, Verdict
from loadgen.errors import TranscriptFault, UsageError
from loadgen.store.run_folder import RunFolder, read_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadgen.core.exchange import Outcome
    from loadgen.core.transcript import Reader

_Key = tuple[int, int]
"""A virtual user, and the index of the request among that user's requests."""
_Exchange = tuple[Request, Response | Failure]


@dataclass(frozen=True, slots=True)
class DiffSide:
    """One of the two transcripts."""

    name: str
    transcript: Path
    bodies: Path


def side(given: Path) -> DiffSide:
    """Find the transcript at *given*: a run, a verification of one, or the file itself.

    Raises:
        UsageError: there is no transcript.
    """
    path = given / "transcript.jsonl" if given.is_dir() else given
    if not path.is_file():
        raise UsageError(
            f"{given} has no transcript",
            advice="Give a run (runs/latest), one of its verifications (runs/latest/verify/1) or a file.",
        )
    return DiffSide(str(given), path, RunFolder(path.parent).bodies)


def diff(one: DiffSide, other: DiffSide, ignored: tuple[Rule, ...] = ()) -> Verdict:
    """Compare two transcripts as streams; *one* is reported as recorded, *other* as replayed.

    Raises:
        TranscriptFault: one cannot be read.
    """
    rules = (*RULES, *ignored)
    divergences: list[Divergence] = []
    differing = compared = 0

    def differs(request: Request, differences: tuple[Difference, ...]) -> None:
        nonlocal differing
        differing += 1
        if len(divergences) < KEPT:
            divergences.append(
                Divergence(request.seq, request.user, request.method, request.target, differences)
            )

    with (
        read_transcript(one.transcript, one.bodies) as first,
        read_transcript(other.transcript, other.bodies) as second,
    ):
        for before, after in _pairs(first, second):
            if after is None:
                assert before is not None
                differs(before[0], (Difference("outcome", told(before[1]), "(no such request)"),))
            elif before is None:
                differs(after[0], (Difference("outcome", "(no such request)", told(after[1])),))
            else:
                compared += 1
                differences = (*_requests(before[0], after[0]), *_outcomes(before[1], after[1], rules))
                if differences:
                    differs(before[0], differences)

    reasons = tuple(
        Reason("transcript", f"{reader.name} was cut short after {reader.requests} requests")
        for reader in (first, second)
        if not reader.ended
    )
    if differing:
        judgement = Judgement.DIVERGED
    else:
        judgement = Judgement.UNDETERMINED if reasons or not compared else Judgement.IDENTICAL
    divergences.sort(key=lambda one: one.seq)
    return Verdict(
        judgement,
        reasons,
        requests=first.requests,
        compared=compared,
        diverged=differing,
        divergences=tuple(divergences),
        rules=rules,
        facts=Facts(compared_with=(one.name, other.name)),
    )


def _pairs(first: Reader, second: Reader) -> Iterator[tuple[_Exchange | None, _Exchange | None]]:
    """Yield the pairs of exchanges with the same key, and then those that only one transcript has.

    Both are read in step: only the exchanges by which one is ahead of the other are held in memory.
    """
    waiting: tuple[dict[_Key, _Exchange], dict[_Key, _Exchange]] = ({}, {})
    for arrived in zip_longest(_exchanges(first), _exchanges(second)):
        for here, found in enumerate(arrived):
            if found is None:
                continue
            key, exchange = found
            counterpart = waiting[1 - here].pop(key, None)
            if counterpart is None:
                waiting[here][key] = exchange
            else:
                yield (counterpart, exchange) if here else (exchange, counterpart)
    yield from ((exchange, None) for exchange in waiting[0].values())
    yield from ((None, exchange) for exchange in waiting[1].values())


def _exchanges(events: Reader) -> Iterator[tuple[_Key, _Exchange]]:
    """Yield each request with its answer, and its key."""
    counts: dict[int, int] = {}
    opened: dict[int, tuple[_Key, Request]] = {}
    for event in events:
        match event:
            case Request(seq=seq, user=user):
                counts[user] = counts.get(user, 0) + 1
                opened[seq] = ((user, counts[user]), event)
            case Response(seq=seq) | Failure(seq=seq):
                key, request = opened.pop(seq)
                yield key, (request, event)
            case _:
                pass
    if not events.requests:
        raise TranscriptFault(f"{events.name} has no request")


def _requests(before: Request, after: Request) -> Iterator[Difference]:
    for name in ("method", "target", "body"):
        left, right = getattr(before, name), getattr(after, name)
        if left != right:
            yield Difference(f"{REQUEST_FIELD}{name}", _quoted(left), _quoted(right))


def _quoted(value: str | bytes) -> str:
    return value if isinstance(value, str) else value[:200].decode("utf-8", "backslashreplace")


def _outcomes(before: Outcome, after: Outcome, rules: tuple[Rule, ...]) -> tuple[Difference, ...]:
    """Compare two outcomes; an answer differs from no answer."""
    if type(before) is not type(after):
        return (Difference("outcome", told(before), told(after)),)
    return compare(before, after, rules)
