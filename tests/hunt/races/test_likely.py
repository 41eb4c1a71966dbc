"""Schedules with one preemption: which are tried, and in which order."""

from __future__ import annotations

from loadgen.core.schedules import FIRST, Choice, Ended, Entry, Ran
from loadgen.hunt.races.likely import elsewhere, likely

ONE, TWO, THREE, FOUR = (FIRST + number for number in range(1, 5))
FOUR_USERS = (0, 1, 2, 3)


def tried(
    entries: list[Entry], users: tuple[int, ...] = FOUR_USERS, failed: frozenset[int] = frozenset()
) -> list[tuple[list[int | None], int | None, int | None]]:
    """Return for each schedule its order of threads, which of them is stopped, and which goes on.

    Those in which several go on are left out.
    """
    return [
        ([one.to for one in order], stop.thread, stop.to)
        for *order, stop in (one.choices() for one in likely(entries, users, failed))
        if all(one.kind == "start" for one in order)
    ]


def test_a_preemption_is_tried_with_each_thread_that_ran_meanwhile() -> None:
    """Requests that had ended go first; those that had begun do so at the second attempt."""
    entries: list[Entry] = [
        Choice("start", None, 0, ONE), Ended(ONE, "GET /", 4), Choice("start", None, 0, TWO),
        Choice("line", TWO, 3, THREE, "a.py:1 f", 2), Choice("line", THREE, 5, FOUR, "a.py:2 f", 4),
        Ended(FOUR, "PUT /", 9), Choice("end", FOUR, 9, TWO), Ended(TWO, "GET /", 4),
        Ended(THREE, "GET /", 9),
    ]  # fmt: skip
    assert tried(entries) == [
        ([ONE, THREE, FOUR, TWO], THREE, FOUR),
        ([ONE, TWO, THREE, FOUR], THREE, FOUR),
        ([ONE, THREE, TWO, FOUR], THREE, TWO),
        ([ONE, TWO, FOUR, THREE], TWO, FOUR),
        ([ONE, TWO, THREE, FOUR], TWO, THREE),
    ]


def test_a_request_is_not_sent_before_the_earlier_ones_of_its_user_are_answered() -> None:
    """They run first; if the stopped request is one of them, the two cannot meet."""
    entries: list[Entry] = [
        Choice("start", None, 0, ONE), Choice("line", ONE, 2, TWO, "a.py:1 f", 1), Ended(TWO, "GET /", 4),
        Choice("end", TWO, 4, THREE), Ended(THREE, "GET /", 4), Choice("end", THREE, 4, ONE),
        Ended(ONE, "GET /", 4),
    ]  # fmt: skip
    assert tried(entries, (0, 1, 1)) == [([ONE, TWO, THREE], ONE, TWO), ([TWO, ONE, THREE], ONE, THREE)]
    assert tried(entries, (0, 1, 0)) == [([ONE, TWO, THREE], ONE, TWO)]


def test_each_place_is_tried_before_another_thread_at_the_same() -> None:
    """Of two requests that stop at the same line, the second one is no news."""
    entries: list[Entry] = [
        Choice("line", ONE, 3, FOUR, "a.py:1 f", 2), Choice("line", TWO, 5, FOUR, "a.py:2 f", 4),
        Choice("line", THREE, 5, FOUR, "a.py:2 f", 4), Ended(FOUR, "PUT /", 9), Ended(ONE, "GET /", 9),
        Ended(TWO, "GET /", 9), Ended(THREE, "GET /", 9),
    ]  # fmt: skip
    stopped = [stopped for _, stopped, other in tried(entries) if other == FOUR]
    assert list(dict.fromkeys(stopped)) == [THREE, ONE, TWO]


def test_several_run_while_one_is_stopped() -> None:
    """All that did so run to their ends, one after the other, before the stopped one goes on."""
    entries: list[Entry] = [
        Choice("line", ONE, 3, TWO, "a.py:1 f", 2), Ended(TWO, "PUT /", 9), Choice("end", TWO, 9, THREE),
        Ended(THREE, "GET /", 7), Choice("end", THREE, 7, ONE), Ended(ONE, "GET /", 9),
        Ended(FOUR, "GET /", 9),
    ]  # fmt: skip
    *order, then, stop = likely(entries, FOUR_USERS)[2].choices()
    assert [one.to for one in order] == [ONE, TWO, THREE, FOUR]
    assert (then.kind, then.thread, then.step, then.to) == ("end", TWO, 9, THREE)
    assert (stop.thread, stop.to) == (ONE, TWO)
    assert len(likely(entries, FOUR_USERS)) == 3


def test_requests_that_failed_come_first_and_places_outside_the_application_last() -> None:
    """One of the two has probably failed; who is stopped before its own code is only late."""
    entries: list[Entry] = [
        Choice("call", ONE, 1, TWO), Choice("line", ONE, 3, TWO, "a.py:1 f", 2),
        Choice("line", TWO, 5, THREE, "a.py:2 f", 4), Ended(THREE, "GET /", 9), Ended(TWO, "GET /", 9),
        Ended(ONE, "GET /", 9),
    ]  # fmt: skip
    at = [(one.stop.thread, one.stop.at) for one in likely(entries, FOUR_USERS, frozenset({ONE}))]
    assert at[0] == (ONE, "a.py:1 f")
    assert at[-1][1] == ""
    assert likely(entries, FOUR_USERS)[0].stop.thread == TWO


def test_a_line_is_found_at_another_step() -> None:
    """In a loop that went round less often, the last time; not if it was stopped, or never came there."""
    lines = ((ONE, 3, "a.py:1 f"), (ONE, 4, "a.py:2 f"), (ONE, 5, "a.py:1 f"), (FIRST, 9, "a.py:1 f"))
    ran = [Ran(*line) for line in lines]
    stop = Choice("line", ONE, 8, FIRST, "a.py:1 f", 6)
    found = elsewhere(ran, stop)
    assert found is not None
    assert (found.thread, found.step, found.to) == (ONE, 5, FIRST)
    assert elsewhere([*ran, stop], stop) is None
    assert elsewhere(ran, Choice("line", ONE, 8, FIRST, "a.py:7 f", 6)) is None
