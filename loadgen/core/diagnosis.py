"""Diagnosis: groups divergences by cause.

Divergences that follow from one another have one cause: they left the tape at the same place, they shift a
number by the same amount, they change a value into the same other value, or they change the same field of the
same kind of request. The head of a cause is its first divergence in the server's order.

If a request leaves the tape, its objects and steps are missing for others. Requests that leave the tape later
and elsewhere are consequences of its cause, and are listed with it. If the tape shows it (an object that the
first request would have created), this is certain; otherwise it is likely, and only a replay without the
first cause can confirm it. A difference without leaving the tape is a cause of its own.
:mod:`loadgen.core.attribution` decides whose fault a cause is.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.attribution import LENGTH, attribute, reattribute
from loadgen.core.comparison import REQUEST_FIELD
from loadgen.core.location import own_call
from loadgen.core.verdict import LISTED, Cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from loadgen.core.verdict import Divergence, Verdict


def diagnosed(verdict: Verdict, replays: Sequence[Verdict], changed: Sequence[str] | None) -> Verdict:
    """Return *verdict*, one of those of the *replays* of a recording, with the causes found in all of them.

    *changed* names the changed files of the application; ``None`` if that is not known.
    """
    groups, follows = _causes(replays)
    causes = tuple(_cause(own, after, replays, changed) for own, after in groups)
    number = {one.seq: at for at, (own, after) in enumerate(groups) for one in (*own, *after)}
    return replace(
        verdict,
        causes=causes,
        divergences=tuple(
            replace(one, cause=number[one.seq], follows=follows.get(one.seq)) for one in verdict.divergences
        ),
        reasons=tuple(reattribute(verdict.reasons, causes, changed)),
    )


def diagnose(replays: Sequence[Verdict], changed: Sequence[str] | None) -> list[Cause]:
    """Return the causes of the divergences in one or more *replays*; see :func:`diagnosed`."""
    groups, _ = _causes(replays)
    return [_cause(own, after, replays, changed) for own, after in groups]


def group(divergences: Sequence[Divergence]) -> list[list[Divergence]]:
    """Group divergences that follow from one another; *divergences* and groups are in server order."""
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


def numberless(text: str) -> str:
    """Return *text* with ``N`` for each number, so that texts that differ only in numbers are equal."""
    return re.sub(r"\d+", "N", text)


_Group = tuple[list["Divergence"], list["Divergence"]]
"""The divergences of a cause itself, and their consequences."""


def _causes(replays: Sequence[Verdict]) -> tuple[list[_Group], dict[int, int]]:
    """Return the groups in server order, and the request that each consequence follows from."""
    first_seen: dict[int, Divergence] = {}
    for verdict in replays:
        for divergence in verdict.divergences:
            first_seen.setdefault(divergence.seq, replace(divergence, cause=None, follows=None))
    follows = {seq: root for seq in first_seen if (root := _root(seq, first_seen)) != seq}
    everything = _in_order(first_seen.values(), replays)
    groups: list[_Group] = [(own, []) for own in group([one for one in everything if one.seq not in follows])]
    number = {one.seq: at for at, (own, _) in enumerate(groups) for one in own}
    for one in everything:
        if one.seq in follows:
            groups[number[follows[one.seq]]][1].append(replace(one, follows=follows[one.seq]))
    return groups, follows


def _root(seq: int, divergences: Mapping[int, Divergence]) -> int:
    """Return the request whose departure from the tape explains the divergence of *seq*, maybe itself."""
    passed = {seq}
    while (before := _explained_by(divergences[seq], divergences)) is not None and before not in passed:
        passed.add(before)
        seq = before
    return seq


def _explained_by(divergence: Divergence, divergences: Mapping[int, Divergence]) -> int | None:
    """Return the earlier request whose departure explains that this one left the tape too."""
    left = divergence.left
    if left is None or left.code == protocol.NOT_THE_RECORDED_REQUEST:
        return None
    before = left.after if left.lost is None else left.lost
    if before is None or before not in divergences:
        return None
    if left.code in protocol.LEFT_BEHIND | protocol.ENGINE_FAILED:
        return before
    alike = {*_signatures(divergence)} & {*_signatures(divergences[before])}
    return None if alike else before


def _in_order(divergences: Iterable[Divergence], replays: Sequence[Verdict]) -> list[Divergence]:
    """Sort by the server's order, in which each verdict's divergences already are."""
    if len(replays) == 1:
        return list(divergences)
    return sorted(divergences, key=lambda one: (one.position is None, one.position or 0, one.seq))


def _cause(
    own: list[Divergence], after: list[Divergence], replays: Sequence[Verdict], changed: Sequence[str] | None
) -> Cause:
    fault, why, advice = attribute(own[0], replays, changed)
    listed, follow = (tuple(one.seq for one in some[:LISTED]) for some in (own, after))
    return Cause(fault, why, advice, own[0], len(own), listed, len(after), follow)


def _signatures(divergence: Divergence) -> Iterator[object]:
    """Yield keys that a divergence shares with others of the same cause."""
    kind = (divergence.method, numberless(divergence.target))
    if divergence.left is not None:
        yield "left", divergence.left.code, numberless(divergence.evidence)
        if divergence.left.stack:
            yield "location", own_call(divergence.left.stack)
        return
    told = [one for one in divergence.differences if one.field != LENGTH] or list(divergence.differences)
    for one in told:
        if one.field.startswith(
            REQUEST_FIELD
        ):  # a client that sends different requests does so for one reason
            yield "asked", one.field
        yield "field", kind, numberless(one.field)
        shift = _shift(one.recorded, one.replayed)
        if shift is not None:
            yield "shift", shift
        elif one.field.startswith("body:"):
            yield "values", one.recorded, one.replayed


def _shift(recorded: str, replayed: str) -> int | None:
    """Return the difference of two whole numbers, if both are whole numbers and not equal."""
    try:
        before, after = json.loads(recorded), json.loads(replayed)
    except ValueError:
        return None
    return after - before if type(before) is int and type(after) is int else None
