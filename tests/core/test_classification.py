"""The kind of a call: by its name, and for statements by their content."""

from __future__ import annotations

import pytest

from loadgen.core.classification import Asked, Classifier, Kind, may_change, table
from loadgen.errors import UsageError
from loadgen.statements import parse


def kind(name: str, text: str = "", shown: str = "", own: tuple[str, ...] = ()) -> Kind:
    """Classify one call."""
    return Classifier(parse, table(own))(Asked(name, text, shown)).kind


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM users WHERE id = ?", Kind.READ),
        ("select count(*) from items where qty > %s", Kind.READ),
        ("WITH a AS (SELECT 1) SELECT * FROM a", Kind.READ),
        ("/* insert */ SELECT 'delete from x'", Kind.READ),
        ("PRAGMA table_info(users)", Kind.READ),
        ("EXPLAIN SELECT 1", Kind.READ),
        ("VALUES (1), (2)", Kind.READ),
        ("INSERT INTO users (name) VALUES (?) RETURNING *", Kind.EFFECT),
        ("INSERT OR REPLACE INTO users (name) VALUES (%(name)s)", Kind.EFFECT),
        ("UPDATE users SET name = ?", Kind.EFFECT),
        ("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", Kind.EFFECT),
        ("SELECT * FROM users FOR UPDATE", Kind.EFFECT),
        ("SELECT nextval('ids')", Kind.EFFECT),
        ("CREATE TABLE a (b)", Kind.EFFECT),
        ("PRAGMA journal_mode = WAL", Kind.EFFECT),
        ("PRAGMA foreign_keys = ON", Kind.STEP),
        ("something that nobody can parse (", Kind.EFFECT),
        ("SELECT 1; DELETE FROM users", Kind.EFFECT),
        ("BEGIN; DELETE FROM users; COMMIT", Kind.EFFECT),
        ("PRAGMA foreign_keys = ON; DELETE FROM users", Kind.EFFECT),
        ("COMMIT;", Kind.ENDS),
        ("PRAGMA foreign_keys = ON;", Kind.STEP),
        ("BEGIN IMMEDIATE", Kind.STEP),
        ("SAVEPOINT a", Kind.STEP),
        ("COMMIT", Kind.ENDS),
        ("ROLLBACK TO a", Kind.ENDS),
    ],
)
def test_statements(statement: str, expected: Kind) -> None:
    """A statement counts for what it does, not for its first word; an unknown one is an effect."""
    assert kind("sqlite3.Cursor.execute", statement) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT add_note(%s)", Kind.EFFECT),
        ("SELECT a, (SELECT app.add_note(a)) FROM users", Kind.EFFECT),
        ("SELECT * FROM add_notes(3)", Kind.EFFECT),
        ("SELECT pg_advisory_lock(1)", Kind.EFFECT),
        ("SELECT count(*), max(lower(name)), date_trunc('day', now()) FROM users", Kind.READ),
        ("SELECT julianday('now'), coalesce(a, 1), json_extract(a, '$.b') FROM users", Kind.READ),
        ("SELECT jsonb_build_object('a', a), row_number() OVER (ORDER BY a) FROM users", Kind.READ),
        ("SELECT string_agg(a, ','), to_tsvector(a) FROM users GROUP BY b", Kind.READ),
        ("SELECT pg_catalog.pg_get_serial_sequence('a', 'b'), pg_backend_pid()", Kind.READ),
        ("SELECT last_insert_rowid(), changes(), random()", Kind.READ),
        ("SELECT * FROM pragma_table_info('users')", Kind.READ),
        ("SELECT * FROM generate_series(1, 3)", Kind.READ),
    ],
)
def test_a_function_that_is_not_known_may_write(statement: str, expected: Kind) -> None:
    """A database may store it; SQLite stores none, so there it is the application's own code."""
    assert kind("psycopg2.extensions.cursor.execute", statement) is expected
    assert kind("sqlite3.Cursor.execute", statement.replace("%s", "?")) is Kind.READ


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("time.time", Kind.AMBIENT),
        ("Random.random", Kind.AMBIENT),
        ("gc.collect", Kind.AMBIENT),
        ("psycopg2.extensions.Column.__getitem__", Kind.STEP),
        ("sqlite3.Cursor.fetchall", Kind.STEP),
        ("sqlite3.Connection.row_factory", Kind.STEP),
        ("sqlite3.Connection.row_factory.__set__", Kind.STEP),
        ("sqlite3.Connection.isolation_level.__set__", Kind.EFFECT),
        ("sqlite3.Connection.commit", Kind.ENDS),
        ("sqlite3.Connection.__exit__", Kind.ENDS),
        ("posix.stat", Kind.READ),
        ("posix.unlink", Kind.EFFECT),
        ("posix.open", Kind.EFFECT),
        ("posix.umask", Kind.EFFECT),
        ("posix.lseek", Kind.EFFECT),
        ("posix.dup2", Kind.EFFECT),
        ("posix.chdir", Kind.EFFECT),
        ("posix.sched_setaffinity", Kind.EFFECT),
        ("posix.sched_getaffinity", Kind.AMBIENT),
        ("resource.setrlimit", Kind.EFFECT),
        ("time.tzset", Kind.EFFECT),
        ("_locale.setlocale", Kind.EFFECT),
        ("sqlite3.Connection.create_function", Kind.STEP),
        ("psycopg2.extensions.connection.set_client_encoding", Kind.STEP),
        ("pylibmc.client.set_multi", Kind.EFFECT),
        ("mydriver.Client.create_table", Kind.EFFECT),
        ("posix.write", Kind.EFFECT),
        ("_socket.socket.send", Kind.EFFECT),
        ("_socket.socket.sendall", Kind.EFFECT),
        ("_posixsubprocess.fork_exec", Kind.EFFECT),
        ("what.nobody.knows", Kind.EFFECT),
    ],
)
def test_names(name: str, expected: Kind) -> None:
    """What the table does not know is an effect: leaving it out is never taken for harmless."""
    assert kind(name) is expected


def test_files_are_told_by_their_mode() -> None:
    """A file that is opened to be read is a read."""
    assert kind("_io.open", "a", "_io.open('a', 'r')") is Kind.READ
    assert kind("_io.open", "a", "_io.open('a')") is Kind.READ
    for mode in ("w", "ab", "r+", "x"):
        assert kind("_io.open", "a", f"_io.open('a', '{mode}')") is Kind.EFFECT


def test_a_call_that_only_asks_is_told_by_its_arguments() -> None:
    """Where a file is, and which locale is set, is asked by the calls that change it."""
    assert kind("posix.lseek", shown="posix.lseek(9, 0, 1)") is Kind.READ
    assert kind("posix.lseek", shown="posix.lseek(9, 3, 0)") is Kind.EFFECT
    assert kind("_locale.setlocale", shown="_locale.setlocale(6, None)") is Kind.READ
    assert kind("_locale.setlocale", shown="_locale.setlocale(6, 'C')") is Kind.EFFECT


def test_a_users_own_row_comes_first() -> None:
    """A user says of their own driver what its calls are."""
    assert kind("mydriver.lookup", own=(r"mydriver\.lookup=read",)) is Kind.READ
    assert kind("mydriver.run", "select 1", own=(r"mydriver\.run=statement",)) is Kind.READ
    assert kind("time.time", own=("time.*=read", "time.time=effect")) is Kind.READ
    assert kind("mydriver.a=b", own=("mydriver.a=b=step",)) is Kind.STEP


@pytest.mark.parametrize("row", ["mydriver", "mydriver=reads", "=read", "(=read", "mydriver="])
def test_a_row_that_is_none_is_an_error(row: str) -> None:
    """A row that cannot be meant is named, with what may stand there."""
    with pytest.raises(UsageError, match="--call"):
        table((row,))


def test_what_may_change_what() -> None:
    """A write to one table does not change a read of another; what is not known may change anything."""
    users = parse("SELECT * FROM users WHERE id = ?")
    assert may_change(parse("INSERT INTO users (a) VALUES (1)"), users)
    assert not may_change(parse("INSERT INTO posts (a) SELECT id FROM users"), users)
    assert may_change(parse("DELETE FROM posts"), users)  # by a cascade
    assert may_change(parse("not sql ("), users)
