"""A script without some requests: the others are numbered anew, and choices are about the same ones."""

from __future__ import annotations

from dataclasses import replace

from loadgen.core.schedules import FIRST, Choice
from loadgen.hunt.races.fewer import ScriptedRequests

THREAD = 3
"""A thread of the application, which no request left out concerns."""
STOP = Choice("line", FIRST + 2, 4, FIRST + 3, "app.py:9 new")
ORDER = tuple(Choice("start", None, 0, thread) for thread in (FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4))
SCRIPT = ScriptedRequests((*ORDER, Choice("off", THREAD, 1, FIRST + 2), STOP), (0, 5, 7, 5))


def test_requests_of_other_users_are_left_out() -> None:
    """What was said of request 2 is said of request 1 if that is its number now."""
    fewer = SCRIPT.of({5, 7})
    assert fewer.users == (5, 7, 5)
    assert [choice.to for choice in fewer.choices[:3]] == [FIRST + 1, FIRST + 2, FIRST + 3]
    *_, away, stop = fewer.choices
    assert (away.thread, away.to) == (THREAD, FIRST + 1)
    assert (stop.thread, stop.to, stop.step, stop.at) == (FIRST + 1, FIRST + 2, 4, "app.py:9 new")


def test_later_requests_are_left_out() -> None:
    """A choice about one that is left out is left out, too; so is a switch to one."""
    assert SCRIPT.of({0, 5, 7}, 1).users == (0, 5, 7)
    assert SCRIPT.of({5}) == ScriptedRequests(
        (
            Choice("start", None, 0, FIRST + 1),
            Choice("start", None, 0, FIRST + 2),
            Choice("off", THREAD, 1, FIRST + 1),
        ),
        (5, 5),
    )


def test_the_next_one_runs_instead() -> None:
    """While request 1 is stopped, 2, 3 and 4 run to their ends; without 2 or 3, the others do."""
    one, two, three, four = (FIRST + number for number in range(1, 5))
    stop, ends = (
        replace(STOP, thread=one, to=two),
        (Choice("end", two, 9, three), Choice("end", three, 9, four)),
    )
    script = ScriptedRequests((*ends, stop), (0, 1, 2, 3))
    assert script.of({0, 2, 3}).choices == (Choice("end", two, 9, three), stop)
    assert script.of({0, 1, 3}).choices == (Choice("end", two, 9, three), stop)
    assert script.of({0, 3}).choices == (stop,)
    assert script.of({0, 1}).choices == (stop,)
    assert script.of({0}).choices == ()


def test_who_sent_them() -> None:
    """The users of requests; threads of the application have none."""
    assert SCRIPT.senders({THREAD, FIRST + 2, FIRST + 3}) == {5, 7}
    assert SCRIPT.senders({FIRST}) == set()


def test_as_few_iterations_as_send_them() -> None:
    """If users sent as many requests in each; otherwise that cannot be told, and all of them are needed."""
    twice = ScriptedRequests((), (1, 2, 2, 1, 2, 1, 1, 2))
    assert twice.iterations({FIRST + 1, FIRST + 3}, 4) == (2, 2)
    assert twice.iterations({FIRST + 1, FIRST + 3}, 2) == (1, 2)
    assert twice.iterations({FIRST + 7}, 2) == (2, 4)
    assert twice.iterations(set(), 4) == (1, 1)
    assert twice.iterations({FIRST + 1}, 3) == (3, 4)
    assert ScriptedRequests((), (1, 2, 2)).iterations({FIRST + 1}, 2)[0] == 2
