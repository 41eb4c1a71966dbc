"""Circles of waiting threads: found when they are closed, and only where nobody can go on."""

from __future__ import annotations

from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.waiting import WaitGraph, told

A, B, C = (FIRST_THREAD + number for number in (1, 2, 3))


def holding(*held: tuple[int, int]) -> WaitGraph:
    graph = WaitGraph()
    for thread, lock in held:
        graph.took(thread, lock, f"app.py:{lock}")
    return graph


def test_a_circle_is_found_by_who_closes_it() -> None:
    """Three threads that wait for one another: the last one sees all of it, itself first."""
    graph = holding((A, 1), (B, 2), (C, 3))
    assert graph.waits(A, 2, "app.py:10", for_ever=True) == []
    assert graph.waits(B, 3, "app.py:20", for_ever=True) == []
    circle = graph.waits(C, 1, "app.py:30", for_ever=True)
    assert [(wait.thread, wait.holder) for wait in circle] == [(C, A), (A, B), (B, C)]
    text = told(circle, FIRST_THREAD)
    assert text.startswith("request 3 at app.py:30 waits for a lock that request 1 took at app.py:1")


def test_a_chain_is_no_circle() -> None:
    """Whoever waits for a thread that runs will go on."""
    graph = holding((A, 1), (B, 2))
    assert graph.waits(C, 2, "", for_ever=True) == []
    assert graph.waits(B, 1, "", for_ever=True) == []


def test_a_wait_with_a_time_out_ends_by_itself() -> None:
    """One such wait in a circle, and it is none."""
    graph = holding((A, 1), (B, 2))
    assert graph.waits(A, 2, "", for_ever=False) == []
    assert graph.waits(B, 1, "", for_ever=True) == []


def test_what_was_given_back_holds_nobody_up() -> None:
    """Neither a lock that was released nor a thread that goes on is in a circle."""
    graph = holding((A, 1), (B, 2))
    graph.waits(A, 2, "", for_ever=True)
    graph.goes_on(A)
    assert graph.waits(B, 1, "", for_ever=True) == []
    graph.released(1)
    assert graph.holder(1) is None
    graph.waits(A, 2, "", for_ever=True)
    assert graph.waits(B, 1, "", for_ever=True) == []


def test_a_lock_of_ones_own_is_no_circle_at_once() -> None:
    """Another thread may be meant to release it; only when nobody moves it is for ever."""
    graph = holding((A, 1))
    assert graph.waits(A, 1, "app.py:5", for_ever=True) == []
    assert [wait.holder for wait in graph.alone(A)] == [A]
    assert graph.alone(B) == []
