"""Rows that are fetched in another way than they were."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.traced.rows import Rows, fetches, iterates

ONE, NEXT, ALL, MANY = (
    f"sqlite3.Cursor.{name}" for name in ("fetchone", "__next__", "fetchall", "fetchmany")
)
FIRST, SECOND = (1, "a"), (2, "b")
WHOLE: list[tuple[int, Any, list[Any]]] = [(5, (ALL, "#"), ["RESULT", [FIRST, SECOND]])]
EACH: list[tuple[int, Any, list[Any]]] = [
    (5, (NEXT, "#"), ["RESULT", FIRST]),
    (6, (NEXT, "#"), ["RESULT", SECOND]),
    (7, (NEXT, "#"), ["ERROR", StopIteration()]),
]
BEGUN: list[tuple[int, Any, list[Any]]] = [(5, (ONE, "#"), ["RESULT", FIRST])]


def rows(recorded: list[tuple[int, Any, list[Any]]], *ways: str) -> list[Any]:
    """Fetch in several ways; return the results, and "end" for the end of an iteration."""
    found, given = Rows(recorded), []
    for way in ways:
        name, _, count = way.partition(" ")
        answer = found.answer(name, (name, "#", *([int(count)] if count else [])))
        given.append(None if answer is None else "end" if answer[0] == "ERROR" else answer[1])
    return given


@pytest.mark.parametrize("recorded", [WHOLE, EACH])
def test_all_ways_give_the_same_rows(recorded: list[tuple[int, Any, list[Any]]]) -> None:
    """In order, each once, and then their end."""
    assert rows(recorded, "fetchall", "fetchall") == [[FIRST, SECOND], []]
    assert rows(recorded, "fetchone", "fetchall", "fetchone") == [FIRST, [SECOND], None]
    assert rows(recorded, "__next__", "__next__", "__next__") == [FIRST, SECOND, "end"]
    assert rows(recorded, "fetchmany 1", "fetchmany 5") == [[FIRST], [SECOND]]


def test_rows_that_were_not_recorded_are_not_made_up() -> None:
    """Whether there is a second row is not known."""
    assert rows(BEGUN, "__next__", "__next__") == [FIRST, None]
    assert rows(BEGUN, "fetchall") == [None]
    assert rows([(5, (MANY, "#", 1), ["RESULT", [FIRST]])], "fetchone", "fetchone") == [FIRST, None]


def test_what_was_fetched_as_recorded_counts() -> None:
    """Another way goes on where the recorded one ended."""
    found = Rows(EACH)
    found.repeats()
    assert found.answer("fetchall", (ALL, "#")) == ["RESULT", [SECOND]]


def test_objects_of_the_tape_are_not_rows() -> None:
    """A row that is an object has its own calls."""
    assert rows([(5, (ALL, "#"), ["NEW_BINDING", 3, "RESULT", []])], "fetchall") == [None]


def test_which_calls_fetch() -> None:
    """Those of cursors; a file has lines."""
    assert fetches(ONE) == "fetchone"
    assert not fetches("_io.TextIOWrapper.__next__")
    assert iterates("sqlite3.Cursor.__iter__")
