"""A model over a history of requests and answers: what no order explains is found, by key, and shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.history import Operation, operations
from loadgen.core.model import Modelled
from loadgen.core.transcript import End

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from loadgen.core.transcript import Event


class Counters:
    """A counter for each path; ``POST`` adds one and returns it."""

    name = "counters.py"
    initial: Hashable = 0

    def key(self, request: Request) -> Hashable:
        """Return the path; other methods are not modelled."""
        return request.target if request.method == "POST" else None

    def step(self, request: Request, answer: Response | None) -> Callable[[Hashable], tuple[Hashable, ...]]:
        """Return what one request does."""
        del request

        def take(state: Hashable) -> tuple[Hashable, ...]:
            assert isinstance(state, int)
            possible = answer is None or answer.body == str(state + 1).encode()
            return (state + 1,) if possible else ()

        return take


def asked(seq: int, target: str = "/a", method: str = "POST") -> Request:
    return Request(seq, 0, method, target, ())


def got(seq: int, body: str, status: int = 200) -> Response:
    return Response(seq, status, (), body.encode())


def test_a_lost_update_is_shown() -> None:
    """Both requests are shown, with the state before, and nothing else."""
    history = operations(
        [asked(1), got(1, "1"), asked(2), asked(3), got(3, "2"), got(2, "2"), asked(4), got(4, "3")]
    )
    found = Modelled(Counters()).check(history)
    assert found.holds is False
    assert found.seqs == (3, 2)
    assert found.message == "request 2 got 200 2, which the model allows in no order with request 3"
    assert found.details == (
        "the state before: 1 (key '/a')",
        "request 2  POST /a  ->  200 2",
        "request 3  POST /a  ->  200 2",
    )


def test_answers_that_do_not_matter_are_left_out() -> None:
    """Whatever the others did that overlap, two requests cannot both have been the first."""
    events: list[Event] = [
        *map(asked, range(1, 6)),
        got(4, "3"),
        got(1, "1"),
        got(5, "2"),
        got(3, "1"),
        got(2, "4"),
    ]
    found = Modelled(Counters()).check(operations(events))
    assert found.seqs == (1, 3)
    assert found.message == (
        "request 3 got 200 1, which the model allows in no order with request 1, "
        "whatever requests 2, 4 and 5 did"
    )


def test_keys_do_not_affect_each_other() -> None:
    """Each has a state of its own; the one that is broken first is shown."""
    fine = operations(
        [asked(1), got(1, "1"), asked(2, "/b"), got(2, "1"), asked(3, "/c", "GET"), got(3, "x")]
    )
    assert Modelled(Counters()).check(fine).holds
    broken = operations([asked(1), asked(2, "/b"), got(2, "2"), got(1, "5")])
    assert Modelled(Counters()).check(broken).seqs == (2,)


def test_an_unknown_outcome_may_be_an_effect() -> None:
    """A request without an answer, or with a 5xx, may have counted, at once, later, or never."""
    for lost in (Failure(1, "ReadTimeout", ""), got(1, "oops", 500)):
        for second in ("1", "2"):
            history = operations([asked(1), lost, asked(2), got(2, second)])
            assert Modelled(Counters()).check(history).holds
        assert Modelled(Counters()).check(operations([asked(1), lost, asked(2), got(2, "3")])).holds is False
    assert Modelled(Counters()).check(operations([asked(1), asked(2), got(2, "2")])).holds


def test_what_was_not_checked_is_undetermined() -> None:
    """No answer, nothing that the model knows, or a search that is not finished: neither holds nor broken."""
    nothing: list[list[Event]] = [[], [asked(1)], [asked(1, method="GET"), got(1, "x")]]
    for events in nothing:
        assert Modelled(Counters()).check(operations(events)).holds is None
    many: list[Event] = [*map(asked, range(1, 9)), *(got(seq, str(seq)) for seq in range(1, 9))]
    assert Modelled(Counters()).check(operations(many)).holds
    assert Modelled(Counters(), budget=3).check(operations(many)).holds is None


def test_time_is_the_place_in_the_transcript() -> None:
    """What has no outcome ends never; other events are not requests."""
    first = asked(1)
    assert operations([first, asked(2), got(1, "1"), End(2)]) == [
        Operation(first, got(1, "1"), 0, 2),
        Operation(asked(2), None, 1, math.inf),
    ]
