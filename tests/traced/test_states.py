"""When two calls ask the same question, whatever the handles of their objects."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.traced.states import Connections, States, handleless

MADE = {1: "a pool", 2: "a pool", 7: "elsewhere"}
SOCKET = "_socket.socket."


def on(handle: int, name: str, *more: Any) -> Any:
    return (SOCKET + name, ("#", handle), *more)


def test_objects_that_were_made_alike_are_the_same() -> None:
    """Of a pool's connections any may be used, whatever this request asked the other before."""
    states = States(MADE, MADE)
    for described in (on(1, "sendall", b"GET a"), on(1, "recv", 10)):
        states.recorded(described, [])
    sent = states.recorded(on(1, "sendall", b"GET b"), [])
    received = states.recorded(on(1, "recv", 10), [])
    assert states.key(on(2, "sendall", b"GET b")) == sent
    assert states.key(on(7, "sendall", b"GET b")) != sent
    states.asked(on(2, "sendall", b"GET b"), sent)
    assert states.key(on(2, "recv", 10)) == received
    assert states.key(on(1, "recv", 10)) != received


def test_a_cursor_that_is_used_again_is_a_new_one() -> None:
    """Another statement on it is what it would be on a cursor of its own."""
    states = States(MADE, MADE)
    wanted = states.recorded(("db.Cursor.execute", ("#", 2), "select 2"), [])
    for text in ("select 1", "select 2"):
        described = ("db.Cursor.execute", ("#", 1), text)
        key = states.key(described)
        states.asked(described, key)
    assert key == wanted


def test_calls_that_differ_in_handles_alone() -> None:
    """The rest of a call is what it asks."""
    assert handleless(on(1, "send", b"a")) == handleless(on(2, "send", b"a"))
    assert handleless(on(1, "send", b"a")) != handleless(on(1, "send", b"b"))
    assert handleless("time.time") == handleless("time.time")


CONNECT = ("_sqlite3.connect", "a.db")
MANUAL = ("_sqlite3.connect", "a.db", ("**", "isolation_level", None))
POSTGRES = ("psycopg2._psycopg._connect", "dbname=a")


def on_db(text: str, name: str = "sqlite3.Connection.execute") -> Any:
    return (name, ("#", 1), text)


PG = "psycopg2.extensions.connection"


def key_of(connect: Any, before: list[Any], last: Any) -> str:
    """Return what a call on a connection asks behind others."""
    key = ""
    connections = Connections()
    states = States({}, {}, (connections, Connections()))
    connections.made(1, connect)
    for described in (*before, last):
        connections.asked(described)
        key = states.recorded(described, [])
    return key


INSERT, SELECT = on_db("insert into a values (1)"), on_db("select * from a")


@pytest.mark.parametrize(
    ("connect", "setting", "changes_writes", "changes_reads"),
    [
        (CONNECT, on_db("PRAGMA foreign_keys = ON"), True, False),
        (CONNECT, on_db("pragma case_sensitive_like(1)"), True, True),
        (CONNECT, on_db("PRAGMA cache_size = 100"), False, False),
        (CONNECT, on_db("PRAGMA foreign_keys"), False, False),
        (CONNECT, on_db("BEGIN"), False, False),
        (CONNECT, on_db("BEGIN IMMEDIATE"), True, False),
        (MANUAL, on_db("BEGIN"), True, False),
        (POSTGRES, on_db("SET search_path TO tenant", PG + ".execute"), True, True),
        (POSTGRES, on_db("BEGIN", PG + ".execute"), False, False),
        (POSTGRES, (PG + ".set_session", ("#", 1), ("**", "autocommit", True)), True, False),
        (POSTGRES, (PG + ".set_isolation_level", ("#", 1), 0), True, False),
    ],
)
def test_settings_of_a_connection(
    connect: Any, setting: Any, *, changes_writes: bool, changes_reads: bool
) -> None:
    """A statement that a setting may change the meaning of asks something else without it."""
    assert (key_of(connect, [setting], INSERT) != key_of(connect, [], INSERT)) is changes_writes
    assert (key_of(connect, [setting], SELECT) != key_of(connect, [], SELECT)) is changes_reads


@pytest.mark.parametrize(
    "end",
    [
        ("sqlite3.Connection.commit", ("#", 1)),
        ("sqlite3.Connection.rollback", ("#", 1)),
        on_db("COMMIT"),
        on_db("end transaction"),
    ],
)
def test_a_transaction_has_an_end(end: Any) -> None:
    """What began it, and what is set within it, ends with it; going back to a savepoint does not end it."""
    begun = [on_db("BEGIN IMMEDIATE"), on_db("SET LOCAL statement_timeout = 1")]
    alone = key_of(MANUAL, [], INSERT)
    assert key_of(MANUAL, [*begun, end], INSERT) == alone
    assert key_of(MANUAL, [*begun, on_db("rollback to savepoint a")], INSERT) != alone


def test_what_belongs_to_a_connection() -> None:
    """A cursor does, of whichever connection it was made on; of other objects it is not known."""
    connections = Connections()
    connections.made(1, CONNECT)
    connections.made(2, CONNECT)
    connections.made(3, ("sqlite3.Connection.cursor", ("#", 1)))
    one, other = (connections.asked(("sqlite3.Connection.commit", ("#", at))) for at in (1, 2))
    assert None not in (one, other)
    assert one != other
    assert connections.asked(("sqlite3.Cursor.execute", ("#", 3), "select 1")) == one
    assert connections.asked(("mydriver.Cursor.execute", ("#", 4), "select 1")) is None
    assert connections.asked("time.time") is None
    assert connections.asked(("sqlite3.Connection.commit", ("#", 5))) not in (None, one, other)
    connections.made(3, None)
    assert connections.asked(("sqlite3.Cursor.execute", ("#", 3), "select 1")) is None


def test_where_a_file_is_decides_what_is_written() -> None:
    """Without a ``seek``, the same bytes go elsewhere."""
    file, states = ("x", "_io.BufferedRandom", 1, 2), States({}, {})
    written = ("_io.BufferedRandom.write", file, b"a")
    before = states.recorded(written, [])
    assert states.recorded(written, []) == before
    states.recorded(("_io.BufferedRandom.seek", file, 3), [])
    assert states.recorded(written, []) != before
    assert states.recorded(("_io.BufferedRandom.write", (*file[:3], 3), b"a"), []) != before
