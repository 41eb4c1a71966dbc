"""What a call seems to be, inside the server: by the table that the verifier hands over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from loadgen.core.classification import TABLE, Kind
from loadgen.statements import parse
from loadgen.traced.ambient import Ambient, Readings
from loadgen.traced.kinds import Kinds, guess, verb_of

KINDS = Kinds((("mydriver\\.ask", "read"), *((name, kind.value) for name, kind in TABLE)))

STATEMENTS = (
    "SELECT * FROM users WHERE id = ?",
    "/* a comment */ select 1",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
    "INSERT INTO users (name) VALUES (?) RETURNING *",
    "UPDATE users SET name = ?",
    "SELECT nextval('ids')",
    "CREATE TABLE a (b)",
    "BEGIN IMMEDIATE",
    "BEGIN; DELETE FROM users; COMMIT",
    "PRAGMA foreign_keys = ON; DELETE FROM users",
    "COMMIT;",
    "SAVEPOINT a",
    "SET search_path TO a",
    "COMMIT",
    "ROLLBACK TO a",
    "PRAGMA table_info(users)",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_mode = WAL",
)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_guessed_as_the_parser_takes_it(statement: str) -> None:
    """The guess decides what a call may get: of what is common, it is what the verdict is judged by."""
    assert guess(statement) == parse(statement).kind.value


@pytest.mark.parametrize(
    ("described", "kind"),
    [
        ("time.time", "ambient"),
        (("mydriver.ask", "a"), "read"),
        (("what.nobody.knows", 1), "effect"),
        (("sqlite3.Cursor.execute", ("#", 1), "select 1"), "read"),
        (("psycopg.Cursor.execute", ("#", 1), b"delete from a"), "effect"),
        (("_io.open", "a", "r"), "read"),
        (("_io.open", "a", "ab"), "effect"),
        (("sqlite3.Connection.commit", ("#", 1)), "ends"),
    ],
)
def test_calls(described: Any, kind: str) -> None:
    """The verifier's table counts, with a user's rows before it; what it does not know is an effect."""
    assert KINDS(described) == Kind(kind)


def test_the_verb_of_a_call() -> None:
    """Effects stand in for those of the same verb; what is no statement has none."""
    assert verb_of(("e", ("#", 1), "  INSERT\ninto a")) == "insert"
    assert verb_of("posix.getpid") == ""


def test_an_ambient_call_without_an_answer_gets_what_another_got() -> None:
    """What its user called ambient stands still, at the last value; before it, at the first to come."""
    ambient, mine = Ambient(Kinds((("mydriver.now", "ambient"), ("a", "read")))), Readings()
    assert ambient.answer("mydriver.now", "mydriver.now", list, mine) is None
    ambient.read_ahead("mydriver.now", ["RESULT", 5])
    ambient.read_ahead("mydriver.now", ["RESULT", 6])
    assert ambient.answer("mydriver.now", "mydriver.now", list, mine) == (5,)
    ambient.saw("mydriver.now", ["RESULT", 7], mine)
    assert ambient.answer("mydriver.now", "mydriver.now", list, mine) == (7,)
    assert ambient.answer("a", "a", list, mine) is None


def test_a_clock_stands_still_for_each_thread() -> None:
    """An additional reading does not shift one that was recorded, whoever reads the clock meanwhile."""
    ambient, one, other = Ambient(Kinds(())), Readings(), Readings()
    ambient.saw("time.time", ["RESULT", 1.0], one)
    ambient.saw("time.time", ["RESULT", 2.0], other)
    assert ambient.answer("time.time", "time.time", list, one) == (1.0,)
    ambient.answer("time.sleep", ("time.sleep", 5), list, other)
    assert ambient.answer("time.time", "time.time", list, one) == (1.0,)
    assert ambient.answer("time.time", "time.time", list, other) == (7.0,)
    assert ambient.answer("time.time", "time.time", list, Readings()) == (2.0,)


SITE = ("@", "view")
AT = datetime(2026, 7, 1, 12, 30, 15, 123456)  # noqa: DTZ001 - as an application reads it


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("datetime.now", AT),
        ("datetime.today", AT),
        ("datetime.now", AT.astimezone(UTC)),
        ("datetime.utcnow", AT.astimezone(UTC).replace(tzinfo=None)),
    ],
)
def test_wall_clocks_go_on_from_each_other(name: str, recorded: datetime) -> None:
    """Whichever function was read last while recording, each of them gives that time to a reading more."""
    ambient, mine = Ambient(Kinds(())), Readings()

    def read(name: str, *given: Any) -> Any:
        answer = ambient.answer(name, (name, *given, SITE), lambda: "the time of the replay", mine)
        assert answer is not None
        return answer[0]

    ambient.saw("time.time", ["RESULT", 1.0], mine)
    ambient.saw(name, ["RESULT", recorded], mine)
    assert read("datetime.now") == read("datetime.today") == AT
    assert read("datetime.now", ("<", "datetime.timezone")) == AT.astimezone(UTC)
    assert read("datetime.utcnow") == AT.astimezone(UTC).replace(tzinfo=None)
    assert read("time.localtime") == read("time.localtime", None) == time.localtime(AT.timestamp())
    assert read("time.gmtime") == time.gmtime(AT.timestamp())
    assert read("time.strftime", "%Y-%m-%d %H:%M:%S") == str(AT)[:19]
    assert read("time.ctime") == read("time.asctime") == time.asctime(AT.timetuple())
    assert read("time.ctime", 1) == read("time.strftime", "%Y", ("<", "time")) == "the time of the replay"


def test_a_wall_clock_that_was_not_read_yet_gives_the_first_recorded_time() -> None:
    """It does not give that of the replay."""
    ambient, mine = Ambient(Kinds(())), Readings()
    ambient.read_ahead("datetime.now", ["RESULT", AT])
    assert ambient.answer("datetime.now", ("datetime.now", SITE), list, mine) == (AT,)
    assert ambient.answer("time.time", ("time.time", SITE), list, mine) == (AT.timestamp(),)
