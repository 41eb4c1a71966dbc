"""What a recording asked before a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadgen.traced import past as past_module
from loadgen.traced.lanes import Lane, Step
from loadgen.traced.past import Past
from loadgen.traced.states import States

if TYPE_CHECKING:
    import pytest


def _lane(thread: int, *steps: tuple[str, int, int]) -> Lane:
    """Return a lane with calls, each with its statement and its positions."""
    lane = Lane(thread, States({}, {}))
    for text, at, end in steps:
        step = Step("CALL", at)
        step.end, step.key, step.call = end, text, ("sqlite3.Connection.execute", text)
        lane.steps.append(step)
    return lane


def _asked(past: Past, key: Any, before: int) -> int | None:
    found = past.last(key, before)
    return None if found is None else found.step.at


def test_the_last_answer_before_a_moment() -> None:
    """From whichever request; one that was under way then is none."""
    past = Past()
    first, second = _lane(1, ("select 1", 10, 11), ("select 1", 40, 41)), _lane(2, ("select 1", 20, 35))
    for lane, index in ((first, 0), (first, 1), (second, 0)):
        past.asked(lane, index, is_statement=True)
    assert [_asked(past, "select 1", before) for before in (5, 12, 30, 36, 100)] == [None, 10, 10, 20, 40]
    assert _asked(past, "select 2", 100) is None


def test_what_other_requests_may_not_have_answered() -> None:
    """The number of a descriptor says nothing about its file; a path does."""
    past = Past()
    lane = _lane(1, ("a", 1, 2), ("b", 3, 4))
    lane.steps[0].call, lane.steps[1].call = ("posix.read", 5, 10), ("posix.stat", "/srv/a")
    past.asked(lane, 0, is_statement=False)
    past.asked(lane, 1, is_statement=False)
    assert (_asked(past, "a", 9), _asked(past, "b", 9)) == (None, 3)


def test_the_effects_between() -> None:
    """Each once, in order, whichever thread had it."""
    past = Past()
    one, other = (
        _lane(1, ("insert", 10, 11), ("insert", 50, 51)),
        _lane(2, ("update", 20, 21), ("delete", 1, 2)),
    )
    for step in (*one.steps, *other.steps):
        past.changed(step)
    assert [text for _, text, _ in past.between(5, 60)] == ["insert", "update"]
    assert [text for _, text, _ in past.between(11, 30)] == ["insert", "update"]
    assert past.between(52, 60) == []


def test_the_last_answer_is_found_without_looking_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of changed code may ask what all of them asked; what lies between is described once."""
    looked, described = list[Any](), list[Any]()

    def shown(call: Any) -> str:
        described.append(call)
        return ""

    class Steps(list[Step]):
        def __getitem__(self, index: Any) -> Any:
            looked.append(index)
            return super().__getitem__(index)

    past = Past()
    lane = _lane(1, *(("select 1", at, at + 1) for at in range(0, 4000, 2)))
    for index, step in enumerate(lane.steps):
        past.asked(lane, index, is_statement=True)
        past.changed(step)
    lane.steps = Steps(lane.steps)
    monkeypatch.setattr(past_module, "shown", shown)
    found = past.last("select 1", 2000)
    assert found is not None
    assert len(looked) <= 12
    assert past.between(0, 4000) == [["sqlite3.Connection.execute", "select 1", ""]]
    assert len(described) == 1
