"""What each mode of replay compares."""

from __future__ import annotations

import pytest

from loadgen.core.comparison import Difference
from loadgen.core.exchange import Request, Response
from loadgen.core.judge import BOUNDARY, CLIENT, PROCESS, Judge, Terms
from loadgen.core.verdict import Judgement

DATE = Response(1, 200, (("Date", "Mon"),), b"{}")
LATER = Response(1, 200, (("Date", "Tue"),), b"{}")
ASKED = Request(1, 0, "GET", "/", ())


def judgement(judge: Judge, requests: int = 1) -> Judgement:
    return judge.verdict(requests=requests, complete=True, client_order_same=None).judgement


@pytest.mark.parametrize("terms", [PROCESS, CLIENT])
def test_without_a_boundary_all_headers_are_compared(terms: Terms) -> None:
    """Where even the server's clock is on the tape, another Date is a difference; so nothing is left out."""
    judge = Judge(terms=terms)
    judge.pair(ASKED, DATE, LATER)
    judge.order_piece((1, -1), [1, -1])
    assert judgement(judge) is Judgement.DIVERGED
    assert not judge.rules


@pytest.mark.parametrize(("answers", "requests", "told"), [(1, 1, True), (0, 0, False), (1, 2, False)])
def test_a_process_has_no_order(answers: int, requests: int, *, told: bool) -> None:
    """The answers alone tell that a whole process is the same; but too few of them, or none, tell nothing."""
    judge = Judge(terms=PROCESS)
    for _ in range(answers):
        judge.pair(ASKED, DATE, DATE)
    assert judgement(judge, requests) is (Judgement.IDENTICAL if told else Judgement.UNDETERMINED)


@pytest.mark.parametrize("terms", [BOUNDARY, CLIENT])
@pytest.mark.parametrize("order", [(), (1, -1)])
def test_the_others_have(terms: Terms, order: tuple[int, ...]) -> None:
    """Equal answers without an order are not enough."""
    judge = Judge(terms=terms)
    judge.note(ASKED, ())
    judge.order_piece(order, list(order))
    assert judgement(judge) is (Judgement.IDENTICAL if order else Judgement.UNDETERMINED)


def test_the_clients_events_are_told_in_words() -> None:
    """The first event that differs is told with its place."""
    judge = Judge(terms=CLIENT)
    assert judge.event(1, "request 1 is sent", "request 1 is sent")
    assert not judge.event(2, "request 2 is sent", "request 1 ends")
    order = judge.verdict(requests=2, complete=True, client_order_same=None).order
    assert order is not None
    assert order.differences == (Difference("client order, step 2", "request 2 is sent", "request 1 ends"),)
