"""One verdict of answers and calls."""

from __future__ import annotations

import pytest

from loadgen.core.alignment import START_UP, Aligned, Alignment, Change, How, Outcome
from loadgen.core.comparison import Difference
from loadgen.core.exchange import Request
from loadgen.core.settling import settled as settle
from loadgen.core.verdict import CallDifference, Divergence, Judgement, Reason, Route, Runs, Verdict
from loadgen.protocol import RECORDING_INCOMPLETE

ASKED = {seq: Request(seq, 1, "GET", f"/{seq}", ()) for seq in (7, 8)}


def settled(*requests: Aligned, differing: tuple[int, ...] = (), order: bool = False) -> Verdict:
    """Settle the verdict of two requests, of which some answered otherwise."""
    differences = (Difference("status", "200", "500"),)
    divergences = tuple(Divergence(seq, 1, "GET", ASKED[seq].target, differences) for seq in differing)
    verdict = Verdict(
        Judgement.DIVERGED if differing else Judgement.IDENTICAL,
        requests=2,
        compared=2,
        diverged=len(differing),
        divergences=divergences,
        order=Divergence(7, 0, "", "", ()) if order else None,
    )
    return settle(verdict, Alignment(list(requests)), ASKED)


def test_the_same_answers_and_effects_are_identical() -> None:
    """Reads that differ are listed, and no more."""
    change = Change(How.REMOVED, "read", "select 1")
    verdict = settled(Aligned(7, Outcome.SAME, changes=(change,)))
    assert verdict.judgement is Judgement.IDENTICAL
    assert verdict.facts.asked == ("1 read fewer",)
    assert verdict.calls == (CallDifference(7, "read", "select 1", "", "", "removed", "GET /N"),)


def test_another_effect_is_a_divergence_behind_equal_answers() -> None:
    """An effect that is not made any more changes no answer of this run, and is told with both calls."""
    verdict = settled(Aligned(7, Outcome.DIVERGED, "an effect less", "commit()", "(nothing)"))
    assert (verdict.judgement, verdict.diverged) == (Judgement.DIVERGED, 1)
    assert verdict.divergences[0].differences == (Difference("calls", "commit()", "(nothing)"),)


def test_a_question_without_an_answer_is_no_divergence() -> None:
    """The request that asks it is undetermined; others are judged, and one that differs counts."""
    unknown = Aligned(7, Outcome.UNDETERMINED, "why", "", "select 2", "app.py:3", left=True)
    verdict = settled(unknown, differing=(7,), order=True)
    assert (verdict.judgement, verdict.diverged, verdict.compared) == (Judgement.UNDETERMINED, 0, 1)
    assert "app.py:3" in verdict.reasons[0].message
    assert settled(unknown, differing=(7, 8)).judgement is Judgement.DIVERGED


def test_another_order_without_a_request_that_left_is_a_divergence() -> None:
    """The server's order is judged as ever where all requests made the recorded calls."""
    assert settled(order=True).judgement is Judgement.DIVERGED
    more = Aligned(7, Outcome.SAME, changes=(Change(How.ADDED, "ambient", "", "time()"),))
    assert settled(more, order=True).judgement is Judgement.IDENTICAL  # another log line takes another lock


def test_the_order_of_a_recording_that_ends_early_is_none() -> None:
    """What is missing of it was missing in the order, too."""
    reason = Reason("recording", "the recording ends before request 7 did", "", RECORDING_INCOMPLETE)
    order = Divergence(7, 0, "", "", ())
    verdict = Verdict(Judgement.UNDETERMINED, (reason,), requests=2, compared=1, order=order)
    found = settle(verdict, Alignment([Aligned(8, Outcome.SAME)]), ASKED)
    assert (found.judgement, found.reasons) == (Judgement.UNDETERMINED, (reason,))


def test_a_start_that_asked_something_new_comes_first() -> None:
    """It is why nothing was served, so the reason that nothing was compared stands behind it."""
    reason = Reason("server", "it did not start")
    verdict = Verdict(Judgement.UNDETERMINED, (reason,), requests=2)
    asked = Aligned(START_UP, Outcome.UNDETERMINED, "why", "", "select 2", "app.py:3", left=True)
    found = settle(verdict, Alignment([asked]), ASKED)
    assert (found.judgement, found.reasons[1]) == (Judgement.UNDETERMINED, reason)
    assert "before it served: select 2, at app.py:3" in found.reasons[0].message


def test_another_effect_of_a_start_that_failed_is_a_divergence() -> None:
    """What is known of a start counts, even if it served nothing."""
    verdict = Verdict(Judgement.UNDETERMINED, (Reason("server", "it did not start"),), requests=2)
    asked = Aligned(START_UP, Outcome.DIVERGED, "another effect", "create a", "create b", "app.py:3")
    found = settle(verdict, Alignment([asked]), ASKED)
    assert (found.judgement, found.diverged) == (Judgement.DIVERGED, 1)


ONE, MANY = "select * from users", "select * from posts where user = ?"


@pytest.mark.parametrize(
    ("ran", "runs", "expected"),
    [
        ([1, 1], [3, 6], Route("GET /N", 2, Runs(2, 2), Runs(4, 7, 1))),
        ([1, 1], [1, 1], None),
        ([2, 5], [0, 0], Route("GET /N", 2, Runs(3, 6, 1), Runs(1, 1))),
        ([1, 1], [0, 1], Route("GET /N", 2, Runs(2, 2), Runs(1, 2))),
    ],
)
def test_statements_of_a_route_are_counted(ran: list[int], runs: list[int], expected: Route | None) -> None:
    """A route that runs another number of statements is named; 1 + N is told from a number that varies."""
    found = settled(
        *(
            Aligned(seq, Outcome.SAME, ran=(ONE, *[MANY] * before), runs=(ONE, *[MANY] * after))
            for seq, before, after in zip(ASKED, ran, runs, strict=True)
        )
    )
    assert found.facts.routes == ((expected,) if expected else ())


def test_a_request_that_left_does_not_count_for_its_route() -> None:
    """How many statements it would have run is not known."""
    left = Aligned(7, Outcome.UNDETERMINED, "why", left=True, ran=(ONE, MANY), runs=(ONE,))
    assert settled(left).facts.routes == ()
