"""One verdict of answers and calls."""

from __future__ import annotations

from loadgen.core.alignment import Aligned, Alignment, Change, Outcome
from loadgen.core.comparison import Difference
from loadgen.core.exchange import Request
from loadgen.core.settling import settled as settle
from loadgen.core.verdict import Divergence, Judgement, Verdict

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
    change = Change("removed", "read", "select 1")
    verdict = settled(Aligned(7, Outcome.SAME, changes=(change,)))
    assert verdict.judgement is Judgement.IDENTICAL
    assert verdict.facts.asked == ("1 read fewer",)
    assert verdict.calls[0].recorded == "select 1"


def test_another_effect_is_a_divergence_behind_equal_answers() -> None:
    """An effect that is not made any more changes no answer of this run, and is told with both calls."""
    verdict = settled(Aligned(7, Outcome.DIVERGED, "an effect less", "commit()", "(nothing)"))
    assert (verdict.judgement, verdict.diverged) == (Judgement.DIVERGED, 1)
    assert verdict.divergences[0].differences == (Difference("calls", "commit()", "(nothing)"),)


def test_a_question_without_an_answer_is_no_divergence() -> None:
    """The request that asks it is undetermined; others are judged, and one that differs counts."""
    unknown = Aligned(7, Outcome.UNDETERMINED, "why", "", "select 2", "app.py:3", left=True)
    verdict = settled(unknown, differing=(7,), order=True)
    assert (verdict.judgement, verdict.diverged) == (Judgement.UNDETERMINED, 0)
    assert "app.py:3" in verdict.reasons[0].message
    assert settled(unknown, differing=(7, 8)).judgement is Judgement.DIVERGED


def test_another_order_without_a_request_that_left_is_a_divergence() -> None:
    """The server's order is judged as ever where all requests came to their ends."""
    assert settled(order=True).judgement is Judgement.DIVERGED
