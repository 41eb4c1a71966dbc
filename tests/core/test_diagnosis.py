"""Diagnosis: consequences of a cause are grouped, and a fault is named only with evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen import protocol
from loadgen.core.comparison import Difference
from loadgen.core.departure import Departure
from loadgen.core.diagnosis import diagnose, diagnosed, group
from loadgen.core.verdict import Divergence, Fault, Judgement, Reason, Verdict

ELSEWHERE = ("/srv/app.py:99 in g: y",)


def differing(
    seq: int, *fields: tuple[str, str, str], target: str = "/a", left: Departure | None = None
) -> Divergence:
    differences = tuple(Difference(*one) for one in fields or (("body:$.x", "1", "2"),))
    return Divergence(seq, 0, "GET", target, differences, left, position=seq)


def verdict(*divergences: Divergence, reason: str = "") -> Verdict:
    judgement = Judgement.DIVERGED if divergences else Judgement.IDENTICAL
    reasons = (Reason(reason, "…"),) if reason else ()
    return Verdict(judgement, reasons, diverged=len(divergences), divergences=divergences)


def departed(code: str, *, after: int | None = None, lost: int | None = None) -> Departure:
    """Return a departure whose sentence says nothing that anything could be decided on."""
    return Departure(code, f"so it is ({code[:3]})", ("/srv/app.py:12 in f: x",), after, lost)


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
    assert sizes(
        differing(1, left=departed(protocol.CALL_NOT_RECORDED), target="/a"),
        differing(2, left=departed(protocol.CALL_NOT_RECORDED), target="/b"),
        differing(3, left=replace(departed(protocol.ENDED_EARLY), stack=ELSEWHERE), target="/a"),
    ) == [[1, 2], [3]]


def test_headline_is_the_first_in_the_server_order() -> None:
    """A cause is told by its first divergence in the server's order, and counts the rest."""
    (cause,) = diagnose([verdict(differing(8), differing(2))], [])
    assert (cause.first.seq, cause.count, cause.requests) == (8, 2, (8, 2))
    assert "request 8" in cause.headline
    assert "1 while recording, 2 in the replay" in cause.headline


ONE = differing(1)


def left(code: str, **more: int) -> Divergence:
    """Return the first request as it left the tape for the reason *code*."""
    return differing(1, ("outcome", "answered 200", "whatever"), left=departed(code, **more))


LEFT = left(protocol.CALL_NOT_RECORDED)


@pytest.mark.parametrize(
    ("replays", "changed", "fault", "says"),
    [
        ([verdict(ONE)], [], Fault.UNKNOWN, "one replay does not show"),
        ([verdict(ONE)], None, Fault.UNKNOWN, "not known"),
        ([verdict(ONE)], ["/srv/app.py"], Fault.APPLICATION, "changed after the recording: /srv/app.py"),
        ([verdict(LEFT)], [], Fault.UNKNOWN, "so it is (cal)"),
        ([verdict(ONE), verdict(ONE)], [], Fault.APPLICATION, "give one answer, not the recorded one"),
        (
            [verdict(ONE), verdict(differing(1, ("body:$.x", "1", "3")))],
            [],
            Fault.APPLICATION,
            "its answer differs in each of 2 replays",
        ),
        ([verdict(ONE), verdict()], [], Fault.APPLICATION, "a race between threads of the application"),
        ([verdict(), verdict(LEFT)], [], Fault.UNKNOWN, "or the engine"),
        ([verdict(left(protocol.ENGINE_CANNOT_READ))], [], Fault.ENGINE, "so it is (eng)"),
        ([verdict(left(protocol.ENGINE_CANNOT_BIND))], [], Fault.ENGINE, "so it is (eng)"),
        (
            [verdict(left(protocol.ENGINE_CANNOT_READ))],
            ["/srv/app.py"],
            Fault.APPLICATION,
            "changed after the recording: /srv/app.py",
        ),
        ([verdict(left(protocol.ENGINE_CANNOT_READ))], None, Fault.UNKNOWN, "not known"),
        ([verdict(left(protocol.ENGINE_CANNOT_BIND, after=9))], [], Fault.UNKNOWN, "request 9 had left the"),
        ([verdict(left(protocol.NOT_THE_RECORDED_REQUEST))], [], Fault.HARNESS, "so it is (not)"),
        ([verdict(ONE, reason="transcript")], [], Fault.TRANSCRIPT, "changed after the recording"),
    ],
)
def test_fault(replays: list[Verdict], changed: list[str] | None, fault: Fault, says: str) -> None:
    """Each kind of evidence leads to its fault, and is quoted."""
    (cause,) = diagnose(replays, changed)
    assert cause.fault is fault
    assert says in cause.why
    assert cause.advice


def test_what_may_not_be_on_the_tape_is_listed() -> None:
    """Where the answer differs in each replay, the advice names what the engine does not record."""
    (cause,) = diagnose([verdict(ONE), verdict(differing(1, ("body:$.x", "1", "3")))], [])
    for what in ("an address", "a module that a request is the first to import", "a background thread"):
        assert what in cause.advice


def test_a_replay_that_was_cut_short_tells_nothing() -> None:
    """A replay that ended before a divergence is no replay without it: it does not make a race of it."""
    cut = Verdict(Judgement.UNDETERMINED, (Reason("engine", "it died"),))
    (cause,) = diagnose([verdict(differing(1)), cut], [])
    assert (cause.fault, "one replay does not show" in cause.why) == (Fault.UNKNOWN, True)
    (cause,) = diagnose([verdict(differing(1)), cut, verdict()], [])
    assert "differs in 1 of 2 replays" in cause.why


def test_nothing_differs() -> None:
    """Where nothing differs there is no cause."""
    assert diagnose([verdict(), verdict()], []) == []


# ---- consequences ----------------------------------------------------------------------------------------

ROOT = differing(3, left=departed(protocol.ANOTHER_CALL))


@pytest.mark.parametrize("changed", [[], ["/srv/app.py"], None])
@pytest.mark.parametrize(
    "later",
    [
        departed(protocol.LOST_OBJECT, after=3, lost=3),
        departed(protocol.LOST_TURN, after=3, lost=3),
        departed(protocol.ENGINE_CANNOT_READ, after=3),
        departed(protocol.ENGINE_CANNOT_BIND, after=3),
    ],
)
def test_what_was_left_behind_is_a_consequence(changed: list[str] | None, later: Departure) -> None:
    """A later request that stumbles over what a lost one left behind belongs to that one's cause."""
    differs = verdict(ROOT, differing(5, left=later, target="/b"))
    found = diagnosed(differs, [differs], changed)
    (cause,) = found.causes
    assert (cause.first.seq, cause.count, cause.consequences, cause.consequent) == (3, 1, 1, (5,))
    assert cause.fault is not Fault.ENGINE
    assert [(one.seq, one.cause, one.follows) for one in found.divergences] == [(3, 0, None), (5, 0, 3)]


def test_a_consequence_of_a_consequence_belongs_to_the_first() -> None:
    """However many requests are between, the cause is where the first one left the tape."""
    chain = [
        ROOT,
        differing(5, left=departed(protocol.LOST_OBJECT, after=3, lost=3), target="/b"),
        differing(8, left=departed(protocol.LOST_OBJECT, after=3, lost=5), target="/c"),
    ]
    (cause,) = diagnose([verdict(*chain)], [])
    assert (cause.count, cause.consequent) == (1, (5, 8))


def test_an_object_names_whose_consequence_it_is() -> None:
    """Where two requests left the tape, a later one follows from the one that would have made its object."""
    there = replace(departed(protocol.CALL_NOT_RECORDED), stack=ELSEWHERE)
    other = differing(4, ("status", "200", "500"), left=there, target="/other")
    later = differing(7, left=departed(protocol.LOST_OBJECT, after=3, lost=4), target="/b")
    assert [one.consequent for one in diagnose([verdict(ROOT, other, later)], [])] == [(), (7,)]


@pytest.mark.parametrize(
    "code", [protocol.ANOTHER_CALL, protocol.CALL_NOT_RECORDED, protocol.ENDED_EARLY, protocol.RECORDING_ENDS]
)
def test_leaving_the_tape_later_is_a_consequence(code: str) -> None:
    """Elsewhere, it follows from the first; at the same place it is the same cause itself."""
    there = replace(departed(code, after=3), stack=ELSEWHERE, why="another")
    (cause,) = diagnose([verdict(ROOT, differing(6, left=there))], [])
    assert (cause.count, cause.consequent) == (1, (6,))
    (cause,) = diagnose([verdict(ROOT, differing(6, left=departed(code, after=3)))], [])
    assert (cause.count, cause.consequent) == (2, ())


def test_another_live_request_is_never_a_consequence() -> None:
    """What is sent to the boundary does not follow from what happened behind it."""
    there = replace(departed(protocol.NOT_THE_RECORDED_REQUEST, after=3), stack=ELSEWHERE)
    causes = diagnose([verdict(ROOT, differing(6, left=there))], [])
    assert [one.fault for one in causes] == [Fault.UNKNOWN, Fault.HARNESS]


@pytest.mark.parametrize(
    ("changed", "fault"), [([], Fault.UNKNOWN), (None, Fault.UNKNOWN), (["/srv/app.py"], Fault.APPLICATION)]
)
def test_another_answer_after_a_departure_is_a_cause_of_its_own(
    changed: list[str] | None, fault: Fault
) -> None:
    """A differing value is never hidden; of unchanged code it may be what the lost request left in memory."""
    differs = verdict(ROOT, differing(6))
    first, second = diagnose([differs, differs, differs], changed)
    assert (first.consequences, second.first.seq, second.fault) == (0, 6, fault)
    assert ("request 3 had left the tape" in second.why) is (fault is Fault.UNKNOWN)


def test_a_lost_request_that_is_not_kept_leaves_no_one_to_follow() -> None:
    """Where the earlier request is not among the divergences, the later one heads a cause of its own."""
    (cause,) = diagnose([verdict(differing(5, left=departed(protocol.LOST_OBJECT, after=3, lost=3)))], [])
    assert (cause.first.seq, cause.fault) == (5, Fault.UNKNOWN)


@pytest.mark.parametrize(
    ("differs", "changed", "fault"),
    [
        ((), [], "engine"),
        ((), None, "engine"),
        ((), ["/srv/app.py"], "application"),
        ((ROOT,), [], "unknown"),
        ((ROOT,), ["/srv/app.py"], "application"),
        ((ONE,), [], "engine"),
    ],
)
def test_a_replay_that_fails_is_the_engines_only_if_nothing_explains_it(
    differs: tuple[Divergence, ...], changed: list[str] | None, fault: str
) -> None:
    """Not while the code is changed, nor after a request left the tape; the reason keeps what happened."""
    stuck = replace(verdict(*differs), reasons=(Reason("engine", "it is stuck", "See the log."),))
    (reason,) = diagnosed(stuck, [stuck], changed).reasons
    assert reason.fault == fault
    assert "it is stuck" in reason.message
    assert "See the log." in reason.advice


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((("body:$.names[0]", '"a"', '"b"'), ("body:$.names[1]", '"b"', '"a"')), True),
        ((("body:$.names[0]", '"a"', '"b"'), ("body:$.names[1]", '"b"', '"c"')), False),
        ((("body:$.name", '"a"', '"b"'), ("body:$.other", '"b"', '"a"')), False),
    ],
)
@pytest.mark.parametrize("replays", [1, 2])
def test_values_in_another_order(
    values: tuple[tuple[str, str, str], ...], *, named: bool, replays: int
) -> None:
    """A list with the same values in another order may come from a set of objects: the advice says so."""
    verdicts = [verdict(differing(3, *values)) for _ in range(replays)]
    cause = diagnosed(verdicts[0], verdicts, []).causes[0]
    assert ("order of their addresses" in cause.advice) is named
