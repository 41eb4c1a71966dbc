"""Diagnosis: what follows from one cause is told once, and a fault is named only where evidence names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.core.comparison import Difference
from loadgen.core.diagnosis import CANNOT_READ, NOT_THE_RECORDED, Fault, diagnose, group
from loadgen.core.verdict import Divergence, Judgement, Reason, Verdict


def differing(seq: int, *fields: tuple[str, str, str], target: str = "/a", evidence: str = "") -> Divergence:
    differences = tuple(Difference(*one) for one in fields or (("body:$.x", "1", "2"),))
    return Divergence(seq, 0, "GET", target, differences, evidence, position=seq)


def verdict(*divergences: Divergence, reason: str = "") -> Verdict:
    judgement = Judgement.DIVERGED if divergences else Judgement.IDENTICAL
    reasons = [Reason(reason, "…")] if reason else []
    return Verdict(judgement, reasons, diverged=len(divergences), divergences=list(divergences))


def sizes(*divergences: Divergence) -> list[list[int]]:
    return [[one.seq for one in members] for members in group(divergences)]


def test_off_by_one_is_one_cause() -> None:
    """An id that is off by one for the rest of the run is one cause, whatever requests show it."""
    cascade = [
        differing(3, ("body:$.id", "3", "4"), target="/users"),
        differing(
            5, ("body:$.users[0].id", "7", "8"), ("header:content-length", "'9'", "'10'"), target="/users"
        ),
        differing(9, ("body:$.posts[2].user_id", "120", "121"), target="/users/120/posts"),
    ]
    other = differing(7, ("status", "200", "500"), target="/stats")
    assert sizes(*cascade, other) == [[3, 5, 9], [7]]


def test_groups_are_joined_by_any_tie() -> None:
    """Two groups that a later divergence belongs to both of are one cause."""
    assert sizes(
        differing(1, ("body:$.a", "1", "2"), target="/a/1"),
        differing(2, ("body:$.b", '"x"', '"y"'), target="/b/1"),
        differing(3, ("body:$.a", "5", "9"), ("body:$.q", '"x"', '"y"'), target="/a/2"),
    ) == [[1, 2, 3]]


def test_content_length_ties_nothing() -> None:
    """The length follows from the body: equal lengths are no common cause."""
    length = ("header:content-length", "'1'", "'2'")
    assert sizes(
        differing(1, ("body:$.a", '"p"', '"q"'), length, target="/a"),
        differing(2, ("body:$.b", '"r"', '"s"'), length, target="/b"),
    ) == [[1], [2]]


def test_same_place_is_one_cause() -> None:
    """Requests that left the tape at the same line, with other numbers, are one cause; elsewhere, another."""
    at = "a call that was not recorded, at /srv/app.py:{} in f: x"
    assert sizes(
        differing(1, evidence=at.format(12), target="/a"),
        differing(2, evidence=at.format(12), target="/b"),
        differing(3, evidence="ended before its recording did", target="/a"),
    ) == [[1, 2], [3]]


def test_headline_is_the_first_in_the_server_order() -> None:
    """A cause is told by its first divergence in the server's order, and counts the rest."""
    (cause,) = diagnose([verdict(differing(8), differing(2))], [])
    assert (cause.first.seq, cause.count, cause.requests) == (8, 2, (8, 2))
    assert "request 8" in cause.headline
    assert "1 while recording, 2 in the replay" in cause.headline


ONE = differing(1)
LEFT = differing(1, ("outcome", "answered 200", "left the tape"), evidence="a call that was not recorded")


@pytest.mark.parametrize(
    ("replays", "changed", "fault", "says"),
    [
        ([verdict(ONE)], [], Fault.UNKNOWN, "one replay cannot tell"),
        ([verdict(ONE)], None, Fault.UNKNOWN, "not known"),
        ([verdict(ONE)], ["/srv/app.py"], Fault.APPLICATION, "/srv/app.py changed"),
        ([verdict(LEFT)], [], Fault.UNKNOWN, "a call that was not recorded"),
        ([verdict(ONE), verdict(ONE)], [], Fault.APPLICATION, "the same answer, another one"),
        (
            [verdict(ONE), verdict(differing(1, ("body:$.x", "1", "3")))],
            [],
            Fault.APPLICATION,
            "answers otherwise in each of 2 replays",
        ),
        ([verdict(ONE), verdict()], [], Fault.APPLICATION, "a race between its threads"),
        ([verdict(), verdict(LEFT)], [], Fault.UNKNOWN, "or the engine"),
        ([verdict(replace(LEFT, evidence=CANNOT_READ))], ["/srv/app.py"], Fault.ENGINE, "the engine cannot"),
        ([verdict(replace(LEFT, evidence=NOT_THE_RECORDED))], [], Fault.HARNESS, "live request"),
        ([verdict(ONE, reason="transcript")], [], Fault.TRANSCRIPT, "changed afterwards"),
    ],
)
def test_fault(replays: list[Verdict], changed: list[str] | None, fault: Fault, says: str) -> None:
    """Each kind of evidence leads to its fault, and is quoted."""
    (cause,) = diagnose(replays, changed)
    assert cause.fault is fault
    assert says in cause.why
    assert cause.advice


def test_a_replay_that_was_cut_short_tells_nothing() -> None:
    """A replay that ended before a divergence is no replay without it: it does not make a race of it."""
    cut = Verdict(Judgement.UNDETERMINED, [Reason("engine", "it died")])
    (cause,) = diagnose([verdict(differing(1)), cut], [])
    assert (cause.fault, "one replay cannot tell" in cause.why) == (Fault.UNKNOWN, True)
    (cause,) = diagnose([verdict(differing(1)), cut, verdict()], [])
    assert "differs in 1 of 2 replays" in cause.why


def test_nothing_differs() -> None:
    """Where nothing differs there is no cause."""
    assert diagnose([verdict(), verdict()], []) == []
