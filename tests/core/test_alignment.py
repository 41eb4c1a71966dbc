"""Calls of changed code compared with the recorded ones: same, different, or undetermined."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.core.alignment import Outcome, align
from loadgen.core.classification import Classifier
from loadgen.statements import parse

EXECUTE = "sqlite3.Cursor.execute"
CONNECTIONS = {"commit": 1, "rollback": 1, "insert": 1, "rename": 1, "commit2": 2, "insert2": 2}
"""The connection that a call is made on, unless it is of none, or not known."""
CALLS = {
    "user": (EXECUTE, "SELECT * FROM users"),
    "post": (EXECUTE, "SELECT * FROM posts"),
    "insert": (EXECUTE, "INSERT INTO posts (a) VALUES (?)"),
    "begin": (EXECUTE, "BEGIN"),
    "rename": (EXECUTE, "UPDATE users SET name = ?"),
    "insert2": (EXECUTE, "INSERT INTO posts (a) VALUES (?)"),
    "insert?": ("mydriver.Cursor.execute", "INSERT INTO posts (a) VALUES (?)"),
    "to_savepoint": (EXECUTE, "ROLLBACK TO SAVEPOINT a"),
    "commit": ("sqlite3.Connection.commit", ""),
    "commit2": ("sqlite3.Connection.commit", ""),
    "commit?": ("sqlite3.Connection.commit", ""),
    "rollback": ("sqlite3.Connection.rollback", ""),
    "time": ("time.time", ""),
    "rows": ("sqlite3.Cursor.fetchall", ""),
    "write": ("_io.TextIOWrapper.write", "1"),
    "connect": ("_socket.socket.connect", ""),
    "send": ("_socket.socket.sendall", "hello"),
}


def call(name: str) -> list[str]:
    """Return a call as the boundary tells it."""
    function, text = CALLS[name]
    return [function, text, f"{function}({text!r})"]


def aligned(recorded: str, made: list[Any], *, left: str = "") -> Any:
    """Align one request, see :func:`told`."""
    return align({"7": told(recorded, made, left=left)}, Classifier(parse)).requests[0]


def told(recorded: str, made: list[Any], *, left: str = "") -> dict[str, Any]:
    """Return what a replay tells of a request.

    *made* has places of recorded calls, and ``(how, call)`` for others. A third item there is the place of
    the recorded call in whose stead it was answered, or, for an answer from the ``past``, the effects since.
    """
    names = recorded.split()
    ops: list[Any] = []
    next_one = 0
    for one in made:
        if isinstance(one, int):
            taken = one in {op[1] for op in ops}
            how = "repeat" if taken else "same" if one >= next_one else "moved"
            ops.append([how, one, "", "app.py:1", CONNECTIONS.get(names[one])])
            next_one = max(next_one, one + 1)
        elif one[0] == "past":
            between = [call(name) for name in one[2].split()]
            ops.append(["past", None, call(one[1]), "app.py:2", CONNECTIONS.get(one[1]), between])
        else:
            index = one[2] if one[2:] else None
            ops.append([one[0], index, call(one[1]), "app.py:2", CONNECTIONS.get(one[1])])
    asked = [[at, *call(name), CONNECTIONS.get(name)] for at, name in enumerate(names)]
    return {"recorded": asked, "ops": ops, "left": left}


SAME, DIVERGED, UNDETERMINED = Outcome


@pytest.mark.parametrize(
    ("recorded", "made", "outcome"),
    [
        ("user post", [0, 1], SAME),
        ("user post", [1, 0], SAME),
        ("user post", [0, 0, 1], SAME),
        ("user post", [1], SAME),
        ("user time", [0, ("ambient", "time"), 1], SAME),
        ("user time", [0], SAME),
        ("insert commit", [0, 1], SAME),
        ("insert commit", [0], DIVERGED),
        ("insert commit", [1, 0], DIVERGED),
        ("insert commit", [], DIVERGED),
        ("insert rename", [1, 0], DIVERGED),
        ("insert", [0, ("ambient", "commit")], DIVERGED),
        ("user commit", [0], SAME),
        ("user", [0, ("ambient", "rollback")], SAME),
        ("user insert", [0, 1], SAME),
        ("user insert", [1, 0], SAME),
        ("post insert", [1, 0], UNDETERMINED),
        ("insert post", [1, 0], UNDETERMINED),
        ("post insert", [0, 1, 0], UNDETERMINED),
        ("user insert", [0, 1, 0], SAME),
        ("post insert post", [0, 0, 1], SAME),
        ("post insert post", [1, 2], SAME),
        ("send", [], DIVERGED),
        ("rows user", [1], SAME),
        ("insert commit", [("instead", "rename", 0), 1], DIVERGED),
        ("insert commit", [("instead", "insert", 0), 1], DIVERGED),
        ("insert commit", [("other", "insert", 0), 1], UNDETERMINED),
        ("insert commit", [0, ("supposed", "insert"), 1], DIVERGED),
        ("insert commit", [0, ("supposed", "begin"), 1], SAME),
        ("insert commit", [0, ("supposed", "user"), 1], UNDETERMINED),
        ("insert user commit", [("instead", "post", 1), 0, 2], UNDETERMINED),
        ("insert commit", [1, ("unanswered", "user")], DIVERGED),
        ("insert commit", [("supposed", "begin"), ("unanswered", "rename")], DIVERGED),
        ("user", [0, ("supposed", "commit")], SAME),
        ("insert commit", [0, 1, ("supposed", "insert"), ("supposed", "commit")], DIVERGED),
        ("user", [0, ("past", "post", "")], SAME),
        ("user", [0, ("past", "post", "rename commit")], SAME),
        ("user", [0, ("past", "post", "rename insert")], UNDETERMINED),
        ("insert", [("past", "user", ""), 0], SAME),
        ("insert", [0, ("past", "post", "")], UNDETERMINED),
        ("insert", [("supposed", "rename"), ("past", "user", ""), 0], DIVERGED),
        ("insert", [("past", "post", "insert"), ("supposed", "rename"), 0], UNDETERMINED),
        ("user", [0, ("past", "rename", "")], UNDETERMINED),
    ],
)
def test_what_is_the_same(recorded: str, made: list[Any], outcome: Outcome) -> None:
    """Effects are made again in their order; reads move only where nothing between may change them."""
    assert aligned(recorded, made).outcome is outcome


@pytest.mark.parametrize(
    ("recorded", "made", "outcome"),
    [
        ("insert commit commit2", [0, 2], DIVERGED),
        ("insert commit commit2", [0, 1], SAME),
        ("insert insert2 commit commit2", [0, 1, 3, 3], DIVERGED),
        ("insert insert2 commit commit2", [0, 1, ("same", "commit2", 2), ("same", "commit", 3)], DIVERGED),
        ("insert commit insert2 commit2", [0, 1, ("same", "insert", 2), ("same", "commit", 3)], SAME),
        ("write commit", [0], SAME),
        ("commit write", [1, 0], SAME),
        ("insert write commit", [0, 1], DIVERGED),
        ("insert? commit", [0], DIVERGED),
        ("insert? commit2 commit", [0, 1], DIVERGED),
        ("insert commit?", [0], DIVERGED),
        ("insert to_savepoint commit", [0, 1], DIVERGED),
        ("insert to_savepoint commit", [0, 1, 2], SAME),
    ],
)
def test_a_transaction_is_of_a_connection(recorded: str, made: list[Any], outcome: Outcome) -> None:
    """It is an effect if its connection wrote something, or may have; another's end does not stand for it.

    Which connection it is does not matter, only what it ends.
    """
    assert aligned(recorded, made).outcome is outcome


def test_the_end_of_another_transaction_is_named() -> None:
    """The calls are the same, so what they end is shown, too."""
    one = aligned("insert insert2 commit commit2", [0, 1, 3, 3])
    assert one.why == "the end of another transaction"
    assert ("of effect 1" in one.recorded, "of effect 2" in one.replayed) == (True, True)


def test_a_question_that_was_never_recorded() -> None:
    """A read without an answer says nothing; an effect without one is a divergence."""
    one = aligned("user", [("unanswered", "post")], left="call")
    assert (one.outcome, one.where) == (UNDETERMINED, "app.py:2")
    assert "SELECT * FROM users" in one.why
    other = aligned("insert", [("unanswered", "rename")], left="call")
    assert other.outcome is DIVERGED
    assert "INSERT" in other.recorded
    assert "UPDATE" in other.replayed


@pytest.mark.parametrize(
    ("recorded", "made", "why", "before", "after"),
    [
        ("insert commit", [0], "an effect less", "commit", ""),
        ("insert rename commit", [1, 2], "an effect less", "INSERT", ""),
        ("insert commit", [0, ("supposed", "rename"), 1], "an effect more", "", "UPDATE"),
        ("insert commit", [0, 1, ("supposed", "rename")], "an effect more", "", "UPDATE"),
        ("insert commit", [("instead", "rename", 0), 1], "another effect", "INSERT", "UPDATE"),
        ("insert rename", [1, 0], "another effect", "INSERT", "UPDATE"),
        ("", [("supposed", "begin"), ("unanswered", "rename")], "an effect more", "", "UPDATE"),
    ],
)
def test_an_effect_that_differs_is_named(
    recorded: str, made: list[Any], why: str, before: str, after: str
) -> None:
    """It is the one that is missing, or more, and not what stands in its place now."""
    one = aligned(recorded, made, left="call" if made[-1] == ("unanswered", "rename") else "")
    assert (one.outcome, one.why) == (DIVERGED, why)
    assert before in one.recorded
    assert after in one.replayed
    assert ("(nothing)" in one.recorded, "(nothing)" in one.replayed) == (not before, not after)


def test_arguments_that_look_like_handles_differ() -> None:
    """``#5`` in a text is a text: only an object's number may be another."""
    shown = "execute(#{handle}, 'INSERT INTO a VALUES (?)', ('#{text}',))"
    told: dict[str, Any] = {
        "recorded": [[0, EXECUTE, "INSERT INTO a VALUES (?)", shown.format(handle=1, text=5), 1]],
        "ops": [
            ["ambient", None, [EXECUTE, "INSERT INTO a VALUES (?)", shown.format(handle=2, text=6)], "", 1]
        ],
        "left": "",
    }
    assert align({"1": told}, Classifier(parse)).requests[0].outcome is DIVERGED
    told["ops"][0][2][2] = shown.format(handle=2, text=5)
    assert align({"1": told}, Classifier(parse)).requests[0].outcome is SAME


def test_the_changes_of_a_request_have_both_sides() -> None:
    """A call that stands for another is shown beside it; what is left out, or more, stands alone."""
    one = aligned("user insert commit", [("instead", "rename", 1), 2, ("supposed", "insert")])
    assert [(each.how, bool(each.recorded), bool(each.replayed)) for each in one.changes] == [
        ("changed", True, True),
        ("added", False, True),
        ("removed", True, False),
    ]
    assert one.ran == ("SELECT * FROM users", "INSERT INTO posts (a) VALUES (?)")
    assert one.runs == ("UPDATE users SET name = ?", "INSERT INTO posts (a) VALUES (?)")
    asked = aligned("user", [("unanswered", "post")], left="call")
    assert (asked.changes[0].how, "users" in asked.changes[0].recorded) == ("unanswered", True)


def test_a_request_that_could_not_go_on_is_undetermined() -> None:
    """What stops a replay for another reason is no evidence that the code is the same."""
    assert aligned("user post", [0], left="call").outcome is UNDETERMINED
    assert aligned("insert commit", [0], left="open").outcome is UNDETERMINED
    assert aligned("insert rename", [1], left="open").outcome is DIVERGED


def test_calls_of_loadgens_own_are_not_listed() -> None:
    """A lock that was waited for while recording, and is free in the replay, is no change of the code."""
    told = {"recorded": [[0, "loadgen.lock", "", "loadgen.lock()", None]], "ops": [], "left": ""}
    one = align({"7": told}, Classifier(parse)).requests[0]
    assert (one.outcome, one.changes) == (SAME, ())


def test_the_summary_counts_by_kind() -> None:
    """Steps go with what they belong to; the rest is counted by what it is and how it differs."""
    told = {
        str(seq): {
            "recorded": [[at, *call(name), None] for at, name in enumerate(("user", "rows", "time"))],
            "ops": [["same", 2, "", "", None], ["ambient", None, call("time"), "", None]],
            "left": "",
        }
        for seq in (1, 2)
    }
    found = align(told, Classifier(parse))
    assert found.summary() == ["2 clock or chance calls more", "2 reads fewer"]


@pytest.mark.parametrize(
    ("first", "outcome", "after"),
    [
        ([("supposed", "insert"), ("unanswered", "user")], DIVERGED, 7),
        ([("unanswered", "user")], UNDETERMINED, 7),
        ([0], DIVERGED, None),
    ],
)
def test_a_lost_connection_is_a_consequence(first: list[Any], outcome: Outcome, after: int | None) -> None:
    """A request that opens a connection because another closed it differs for the other's reason."""
    requests = {
        "7": told("send", first, left="" if first == [0] else "call"),
        "8": told("send", [("supposed", "connect"), ("supposed", "rename"), 0]),
        "9": told("send", [("supposed", "rename"), ("supposed", "connect"), 0]),
    }
    _, second, third = align(requests, Classifier(parse)).requests
    assert (second.outcome, second.after) == (outcome, after)
    assert (third.outcome, third.after) == (DIVERGED, None)
