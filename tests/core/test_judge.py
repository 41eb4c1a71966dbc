"""The judge: identical needs complete evidence, diverged needs one difference, the rest is undetermined."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import protocol
from loadgen.core.comparison import RULES
from loadgen.core.departure import Departure
from loadgen.core.exchange import Failure, Outcome, Request, Response
from loadgen.core.judge import KEPT, Judge
from loadgen.core.verdict import FORMAT, Facts, Judgement, Seconds, Verdict
from loadgen.errors import EngineFault, RecordingFault, TranscriptFault

REPLAYED = ("X-Loadgen-Served", "replay")


def ask(seq: int) -> Request:
    return Request(seq, seq % 2, "GET", f"/{seq}", ())


def recorded(seq: int) -> Response:
    return Response(seq, 200, (("A", "1"), ("X-Loadgen-Served", "record")), b"{}")


def replayed(seq: int) -> Response:
    return Response(seq, 200, (("A", "1"), REPLAYED), b"{}")


def changed(seq: int) -> Response:
    return replace(replayed(seq), body=b"[]")


def serial(requests: int) -> tuple[int, ...]:
    """Return the order of a server that serves one request after the other."""
    return tuple(step for seq in range(1, requests + 1) for step in (seq, -seq))


def judged(*answers: Outcome, order: tuple[int, ...] | None = None, steps: list[int] | None = None) -> Judge:
    """Return a judge who has seen *answers* for requests 1, 2, ..., and the server's order in both phases."""
    judge = Judge()
    for seq, answer in enumerate(answers, 1):
        judge.pair(ask(seq), recorded(seq), answer)
    if order is None:
        order = serial(len(answers))
    steps = list(order) if steps is None else steps
    judge.order_piece(order, steps)
    judge.order_end(steps)
    return judge


def verdict(judge: Judge, requests: int, *, complete: bool = True) -> Verdict:
    return judge.verdict(requests=requests, complete=complete, client_order_same=True)


# ---- identical -------------------------------------------------------------------------------------------


def test_everything_equal_is_identical() -> None:
    """Equal answers from the tape, the same order, a complete transcript: identical, and nothing else."""
    found = verdict(judged(replayed(1), replayed(2)), 2)
    assert found.judgement is Judgement.IDENTICAL
    assert (found.requests, found.compared, found.diverged, found.order_steps) == (2, 2, 0, 4)
    assert found.reasons == ()
    assert found.divergences == ()
    assert found.order is None


@given(
    compared=st.integers(0, 3),
    requests=st.integers(0, 3),
    complete=st.booleans(),
    order_known=st.booleans(),
    doubts=st.integers(0, 1),
)
def test_identical_needs_evidence_for_everything(
    *, compared: int, requests: int, complete: bool, order_known: bool, doubts: int
) -> None:
    """One missing piece of evidence, whichever, and it is undetermined, with a reason."""
    judge = Judge()
    for seq in range(1, compared + 1):
        judge.pair(ask(seq), recorded(seq), replayed(seq))
    if order_known:
        judge.order_piece(serial(requests), list(serial(requests)))
        judge.order_end(list(serial(requests)))
    for _ in range(doubts):
        judge.doubt(EngineFault("stuck", advice="look"))
    found = verdict(judge, requests, complete=complete)
    evidence = bool(compared) and compared == requests and complete and order_known and not doubts
    assert found.judgement is (Judgement.IDENTICAL if evidence else Judgement.UNDETERMINED)
    assert bool(found.reasons) is not evidence
    assert found.compared == compared


# ---- undetermined ----------------------------------------------------------------------------------------


def test_nothing_compared_is_undetermined() -> None:
    """An empty comparison is never identical."""
    assert verdict(Judge(), 0).judgement is Judgement.UNDETERMINED
    assert verdict(judged(), 0).judgement is Judgement.UNDETERMINED


def test_fewer_compared_than_recorded_is_undetermined() -> None:
    """Every recorded answer must have been compared; the reason says how many were."""
    found = verdict(judged(replayed(1), order=serial(2)), 2)
    assert found.judgement is Judgement.UNDETERMINED
    assert [(reason.fault, reason.message) for reason in found.reasons] == [
        ("harness", "1 of 2 answers were compared, and 4 of 4 steps of the server's order")
    ]


def test_a_doubt_is_undetermined_and_kept() -> None:
    """What went wrong is in the verdict with whose fault it is and what to do, in the order it was seen."""
    judge = judged(replayed(1))
    judge.doubt(EngineFault("stuck", advice="look"))
    judge.doubt(RecordingFault("changed"))
    found = verdict(judge, 1)
    assert found.judgement is Judgement.UNDETERMINED
    assert [(one.fault, one.message, one.advice) for one in found.reasons] == [
        ("engine", "stuck", "look"),
        ("recording", "changed", ""),
    ]


def test_a_difference_from_a_damaged_transcript_is_undetermined() -> None:
    """It may be the damage: the verdict shows what differs, and blames nobody. Any other doubt leaves it."""
    for doubt, judgement in (
        (TranscriptFault("changed"), Judgement.UNDETERMINED),
        (EngineFault("stuck"), Judgement.DIVERGED),
    ):
        another_order = judged(replayed(1), replayed(2), steps=[1, 2, -1, -2])
        for judge in (judged(changed(1), replayed(2)), another_order):
            judge.doubt(doubt)
            found = verdict(judge, 2)
            assert found.judgement is judgement
            assert found.divergences or found.order
            assert [one.message for one in found.reasons] == [doubt.message]


# ---- without a complete answer -----------------------------------------------------------------------------

GONE = Failure(1, "ReadTimeout", "slow")
ENDS = Departure(protocol.RECORDING_ENDS, "the recording ends here")
BY_THE_BOUNDARY = Response(1, 500, (("X-Loadgen-Outcome", "diverged"),), b"")


def left_behind(
    outcome: Failure,
    replay: Outcome,
    left: Departure | None,
    steps: tuple[int, ...],
    more: tuple[int, ...] = (),
) -> Verdict:
    """Return the verdict on request 1, which got no complete answer, beside one that got its own."""
    judge = Judge()
    judge.pair(ask(2), recorded(2), replayed(2))
    judge.pair(ask(1), outcome, replay, left)
    order = (*steps, 2, -2)
    judge.order_piece(order, [*order, *more])
    judge.order_end([*order, *more])
    return verdict(judge, 2)


@pytest.mark.parametrize(
    ("replay", "left", "steps", "more"),
    [
        (replayed(1), None, (1, -1), ()),  # the server finished it, in time for its order
        (replayed(1), None, (1,), (-1,)),  # it finished after it had been asked
        (replayed(1), None, (), (1, -1)),  # all of it happened then
        (BY_THE_BOUNDARY, ENDS, (1,), ()),  # it never finished
        (BY_THE_BOUNDARY, ENDS, (), ()),  # it was never entered
        (Failure(1, "RemoteProtocolError", ""), ENDS, (1,), ()),
    ],
)
def test_a_client_that_gave_up_is_an_outcome(
    replay: Outcome, left: Departure | None, steps: tuple[int, ...], more: tuple[int, ...]
) -> None:
    """The others are compared, and the verdict counts it; how far the server came is what the tape says."""
    found = left_behind(GONE, replay, left, steps, more)
    assert found.judgement is Judgement.IDENTICAL, found.reasons
    assert (found.compared, found.answers_compared, found.unanswered) == (2, 1, {"ReadTimeout": 1})


def test_what_came_until_then_is_compared() -> None:
    """The beginning of an answer is an answer as far as it goes."""
    came = replace(GONE, came=replace(recorded(1), body=b"{"))
    assert left_behind(came, replayed(1), None, (1, -1)).judgement is Judgement.IDENTICAL
    found = left_behind(came, changed(1), None, (1, -1))
    assert found.judgement is Judgement.DIVERGED
    assert [one.seq for one in found.divergences] == [1]


def test_what_it_did_until_then_is_compared() -> None:
    """A request that leaves the tape before the recording of it ends is a divergence like any other."""
    left = Departure(protocol.ANOTHER_CALL, "another call")
    found = left_behind(GONE, BY_THE_BOUNDARY, left, (1,))
    assert found.judgement is Judgement.DIVERGED
    assert found.divergences[0].differences[0].recorded == "no answer: ReadTimeout slow"


@pytest.mark.parametrize(
    ("outcome", "steps"),
    [(GONE, (1, -1)), (replace(GONE, came=recorded(1)), (1,))],
    ids=["it finished", "its client had more"],
)
def test_less_on_the_tape_than_was_seen(outcome: Failure, steps: tuple[int, ...]) -> None:
    """A tape that ends before what was seen of the request is not complete: undetermined."""
    found = left_behind(outcome, BY_THE_BOUNDARY, ENDS, steps)
    assert found.judgement is Judgement.UNDETERMINED
    assert [reason.code for reason in found.reasons] == [protocol.RECORDING_INCOMPLETE]


@pytest.mark.parametrize("seen", [recorded(1), GONE])
def test_a_recording_that_cannot_be_read(seen: Outcome) -> None:
    """It says nothing about the answers, whatever the client had seen, and the error is named."""
    judge = Judge()
    judge.pair(
        ask(1), seen, BY_THE_BOUNDARY, Departure(protocol.RECORDING_UNREADABLE, "TypeError: no such class")
    )
    found = verdict(judge, 1)
    assert (found.judgement, found.diverged) == (Judgement.UNDETERMINED, 0)
    (reason,) = [one for one in found.reasons if one.code == protocol.RECORDING_INCOMPLETE]
    assert "TypeError: no such class" in reason.message


@pytest.mark.parametrize("answer", [replayed(1), BY_THE_BOUNDARY])
def test_nothing_that_came_at_all_is_undetermined(answer: Response) -> None:
    """Where no request got anything there is nothing to compare with, whatever the replay answers."""
    judge = Judge()
    judge.pair(ask(1), GONE, answer, ENDS if answer is BY_THE_BOUNDARY else None)
    judge.order_piece((1,), [1])
    judge.order_end([1])
    found = verdict(judge, 1)
    assert found.judgement is Judgement.UNDETERMINED
    assert [reason.code for reason in found.reasons] == [protocol.NOTHING_RECORDED]
    assert "request 1 (GET /1): ReadTimeout" in found.reasons[0].message
    assert "--timeout" in found.reasons[0].advice


def test_a_server_that_was_not_reached_is_not_called_slow() -> None:
    """A longer time limit would not help there."""
    judge = Judge()
    judge.pair(ask(1), Failure(1, "ConnectError", "refused"), replayed(1))
    found = verdict(judge, 1)
    assert "See the server's log" in found.reasons[0].advice


# ---- diverged --------------------------------------------------------------------------------------------


def test_one_difference_is_diverged() -> None:
    """One differing answer among equal ones is diverged, and is told with its request."""
    found = verdict(judged(replayed(1), changed(2), replayed(3)), 3)
    assert found.judgement is Judgement.DIVERGED
    assert (found.compared, found.diverged) == (3, 1)
    (one,) = found.divergences
    assert (one.seq, one.user, one.method, one.target) == (2, 0, "GET", "/2")
    assert [difference.field for difference in one.differences] == ["body:$"]


def test_a_difference_outweighs_a_doubt() -> None:
    """A difference is proof: what else went wrong is told beside it and does not undo it."""
    judge = judged(changed(1))
    judge.doubt(EngineFault("stuck"))
    found = verdict(judge, 9, complete=False)
    assert found.judgement is Judgement.DIVERGED
    assert found.reasons


@pytest.mark.parametrize(
    ("headers", "by"),
    [
        ((("A", "1"),), "by a server outside the replay, not the tape"),
        ((("A", "1"), ("X-Loadgen-Served", "record")), "by record, not the tape"),
    ],
)
def test_an_answer_that_is_not_from_the_tape_is_diverged(
    headers: tuple[tuple[str, str], ...], by: str
) -> None:
    """An equal answer is no evidence unless the boundary says that the replay served it."""
    found = verdict(judged(replace(replayed(1), headers=headers)), 1)
    assert found.judgement is Judgement.DIVERGED
    (difference,) = found.divergences[0].differences
    assert (difference.field, difference.recorded, difference.replayed) == (
        "served",
        "by the recorded server",
        by,
    )


def test_leaving_the_tape_is_the_headline() -> None:
    """An answer that the boundary made because the request left the tape is told as that, with evidence."""
    judge = Judge()
    off = Response(1, 500, (("X-Loadgen-Outcome", "diverged"), REPLAYED), b"{}")
    judge.pair(ask(1), recorded(1), off, Departure(protocol.ANOTHER_CALL, "asked for 'b', the tape has 'a'"))
    (one,) = verdict(judge, 1).divergences
    assert one.evidence == "asked for 'b', the tape has 'a'"
    assert [(d.field, d.recorded, d.replayed) for d in one.differences] == [
        ("outcome", "answered 200", "left the tape: asked for 'b', the tape has 'a'")
    ]


def test_no_answer_with_evidence_is_diverged() -> None:
    """A connection that broke because the request left the tape is a difference, not a doubt."""
    judge = Judge()
    judge.pair(ask(1), recorded(1), Failure(1, "ReadError", ""), Departure(protocol.UNKNOWN, "off the tape"))
    found = verdict(judge, 1)
    assert found.judgement is Judgement.DIVERGED
    assert found.divergences[0].evidence == "off the tape"


def test_no_answer_is_diverged() -> None:
    """An answer that was recorded and is not there in replay is a difference."""
    assert verdict(judged(Failure(1, "ReadError", "")), 1).judgement is Judgement.DIVERGED


def test_all_divergences_are_counted_and_the_first_kept() -> None:
    """Memory is bounded: details of the first ones are kept, and all are counted."""
    found = verdict(judged(*(changed(seq) for seq in range(1, KEPT + 6))), KEPT + 5)
    assert found.diverged == KEPT + 5
    assert [one.seq for one in found.divergences] == list(range(1, KEPT + 1))


# ---- the server's order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "steps", "step", "sides", "seq"),
    [
        ((1, 2, -1, -2), [1, 2, -2, -1], 3, ("request 1 finishes", "request 2 finishes"), 1),
        ((1, -1, 2, -2), [2, -2, 1, -1], 1, ("request 1 enters", "request 2 enters"), 1),
        ((1, -1, 2, -2), [1, -1, 2], 4, ("request 2 finishes", "(nothing)"), 2),
        ((1, -1, 2, -2), [], 1, ("request 1 enters", "(nothing)"), 1),
        ((1, -1), [1, -1, 3], 3, ("(nothing)", "request 3 enters"), 3),
        ((), [3], 1, ("(nothing)", "request 3 enters"), 3),
    ],
)
def test_another_server_order_is_diverged(
    order: tuple[int, ...], steps: list[int], step: int, sides: tuple[str, str], seq: int
) -> None:
    """A step swapped, missing or extra is told, at the first step that differs."""
    found = verdict(judged(replayed(1), replayed(2), order=order, steps=steps), 2)
    assert found.judgement is Judgement.DIVERGED
    assert found.order is not None
    assert found.order.seq == seq
    (difference,) = found.order.differences
    assert difference.field == f"server order, step {step}"
    assert (difference.recorded, difference.replayed) == sides


@given(st.permutations(serial(3)), st.permutations(serial(3)), st.lists(st.integers(0, 6), max_size=4))
def test_the_order_is_compared_piece_by_piece(one: list[int], other: list[int], cuts: list[int]) -> None:
    """However the recorded order is cut into pieces, it is the same exactly where the steps are."""
    judge = Judge()
    for seq in (1, 2, 3):
        judge.pair(ask(seq), recorded(seq), replayed(seq))
    bounds = sorted({0, 6, *cuts})
    for start, stop in pairwise(bounds):
        judge.order_piece(tuple(one[start:stop]), other)
    judge.order_end(other)
    found = verdict(judge, 3)
    assert found.order_steps == 6
    assert (found.judgement is Judgement.IDENTICAL) is (one == other)
    if found.order is not None:
        first = next(at for at in range(6) if one[at] != other[at])
        assert found.order.differences[0].field == f"server order, step {first + 1}"


def test_clients_order_is_reported_and_not_judged() -> None:
    """In which order clients saw completions is not the server's to keep."""
    found = judged(replayed(1)).verdict(requests=1, complete=True, client_order_same=False)
    assert found.judgement is Judgement.IDENTICAL
    assert found.to_json()["client_order_same"] is False


def test_the_headline_is_the_first_divergence_in_the_servers_order() -> None:
    """What entered first comes first, whenever its answer was seen; without a known place it comes last."""
    judge = Judge()
    for seq in (3, 1, 4, 2):
        judge.pair(ask(seq), recorded(seq), changed(seq))
    order = (2, 3, -3, 1, -2, -1)
    judge.order_piece(order[:3], list(order))
    judge.order_piece(order[3:], list(order))
    assert [one.seq for one in verdict(judge, 4).divergences] == [2, 3, 1, 4]


def test_without_an_order_the_headline_is_the_first_issued() -> None:
    """Where the server's order is not known, sequence numbers decide."""
    judge = Judge()
    for seq in (2, 1):
        judge.pair(ask(seq), recorded(seq), changed(seq))
    found = verdict(judge, 2)
    assert [one.seq for one in found.divergences] == [1, 2]
    assert found.order_steps is None


# ---- verdict.json ----------------------------------------------------------------------------------------


def test_the_json_shape() -> None:
    """``verdict.json`` says all that the verdict does, in documented words, and names the rules in force."""
    judge = judged(changed(1), replayed(2), order=serial(2), steps=[1, -1, 2])
    judge.doubt(EngineFault("stuck", advice="look"))
    found = verdict(judge, 2)
    told = replace(found, facts=Facts(run="r1", seconds=Seconds(None, 1.5))).to_json()
    assert json.loads(json.dumps(told)) == {
        "format": FORMAT,
        "verdict": "diverged",
        "reasons": [{"fault": "engine", "message": "stuck", "advice": "look", "code": ""}],
        "requests": 2,
        "compared": 2,
        "diverged": 1,
        "divergences": [
            {
                "seq": 1,
                "user": 1,
                "method": "GET",
                "target": "/1",
                "differences": [{"field": "body:$", "recorded": "{}", "replayed": "[]"}],
                "left": None,
                "position": 0,
                "cause": None,
                "follows": None,
            }
        ],
        "undecided": [],
        "calls": [],
        "causes": [],
        "server_order": {
            "same": False,
            "steps": 4,
            "first_difference": {
                "seq": 2,
                "user": 0,
                "method": "",
                "target": "",
                "differences": [
                    {
                        "field": "server order, step 4",
                        "recorded": "request 2 finishes",
                        "replayed": "(nothing)",
                    }
                ],
                "left": None,
                "position": None,
                "cause": None,
                "follows": None,
            },
        },
        "client_order_same": True,
        "rules": [
            {"name": rule.name, "why": rule.why, "headers": sorted(rule.headers), "paths": []}
            for rule in RULES
        ],
        "before_application": 0,
        "unanswered": {},
        "asked": None,
        "routes": [],
        "run": "r1",
        "runtime": "",
        "replay": "boundary",
        "engine_alone": False,
        "versions": {},
        "database": None,
        "seconds": {"recording": None, "replay": 1.5},
        "changed_sources": None,
        "altered": [],
        "engine_log": None,
        "call_log": None,
        "replays": [],
        "compared_with": None,
    }


def test_an_unknown_order_is_neither_same_nor_different() -> None:
    """What was not compared is null in JSON, never true."""
    order = verdict(Judge(), 0).to_json()["server_order"]
    assert order == {"same": None, "steps": None, "first_difference": None}


def test_exit_codes() -> None:
    """Each verdict has its exit code, and only identical is 0."""
    assert {one.value: one.exit_code for one in Judgement} == {
        "identical": 0,
        "diverged": 1,
        "undetermined": 3,
    }


def test_part_of_the_server_order_is_not_enough() -> None:
    """Every request must have entered and finished in the compared order."""
    judge = judged(replayed(1), order=(1,))
    assert verdict(judge, 1).judgement is Judgement.UNDETERMINED


def test_recording_that_ends_too_early_is_undetermined() -> None:
    """Where the tape has no more, nothing is told of the answers, nor by the order of what is left."""
    judge = judged(replayed(1), order=(1, -1, 2, -2), steps=[1, -1])
    left = Response(2, 500, (("X-Loadgen-Outcome", "diverged"),), b"")
    for seq in (2, 3):
        judge.pair(ask(seq), recorded(seq), left, Departure(protocol.RECORDING_ENDS, "whatever it says"))
    found = verdict(judge, 3)
    assert found.judgement is Judgement.UNDETERMINED
    assert [reason.fault for reason in found.reasons] == ["recording"]
    assert found.diverged == 0
