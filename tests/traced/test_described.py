"""Descriptions of calls: what is the same question has the same one, what is another question another one."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import sqlite3
import time
import types
import uuid
from typing import Any

import pytest

from loadgen.traced.described import HANDLE, SHORT, STATEMENT, Describer, in_another_order, same, shown


class Cursor:
    """An object that the tape may have a handle for."""


def describer(*bound: object) -> Describer:
    """Return one that knows the objects *bound*, by their places."""
    handles = {id(one): (HANDLE, at) for at, one in enumerate(bound)}
    return Describer(lambda one: handles.get(id(one)), lambda function: function)


def described(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Describe a call with nothing bound."""
    return describer()(function, args, kwargs)


def test_a_call_without_arguments_is_its_name() -> None:
    """It costs the tape one known string; with that of who asks, where nothing else tells it from another."""
    assert described(os.getcwd) == "posix.getcwd"
    assert same(described(time.time)) == ("time.time",)
    assert described(time.time) != described(time.time)[:1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), (2,)),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        ((True,), (None,)),
        (("a",), (b"a",)),
        (((1, 2),), ([1, 2],)),
        (((1,), 2), ((1, 2),)),
        (({"a": 1},), ({"a": 2},)),
        (("x" * 500,), ("x" * 499 + "y",)),
        ((b"x" * 500,), (b"x" * 499 + b"y",)),
        (("select 1" + " " * 500,), ("select 2" + " " * 500,)),
        (("select " + "x" * STATEMENT,), ("select " + "x" * STATEMENT + "y",)),
        ((bytearray(b"a"),), (bytearray(b"b"),)),
        ((memoryview(b"a"),), (memoryview(b"b"),)),
        ((decimal.Decimal(1),), (decimal.Decimal(2),)),
        ((dt.date(2024, 1, 1),), (dt.date(2024, 1, 2),)),
        ((uuid.UUID(int=1),), (uuid.UUID(int=2),)),
        ((1e300,), (1e301,)),
        ((2**80,), (2**81,)),
        ((slice(1),), (slice(2),)),
        ((int,), (str,)),
        ((("<", "x"),), (("<", "y"),)),
    ],
)
def test_another_argument_is_another_call(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Whatever differs in a value differs in the description, and in no other way than in its text."""
    assert described(print, *one) != described(print, *other)
    assert described(print, a=one[0]) != described(print, a=other[0])
    assert described(print, *one) == described(print, *one)


def test_another_callable_is_another_call() -> None:
    """Two functions with the same arguments are told apart, and two methods of one type."""
    assert described(sqlite3.connect, "a") != described(print, "a")
    assert described(sqlite3.Connection.commit, 1) != described(sqlite3.Connection.close, 1)


def test_objects_are_their_handles() -> None:
    """What one cursor is asked is not what another is; without a handle an object is its type."""
    one, other = Cursor(), Cursor()
    describe = describer(one, other)
    assert describe(len, (one,), {}) != describe(len, (other,), {})
    assert described(len, Cursor()) == described(len, Cursor())
    assert "0x" not in shown(described(len, Cursor()))


def test_addresses_do_not_count() -> None:
    """The address in a text is another one in each replay."""
    assert described(print, "<object at 0x7f12aa55>") == described(print, "<object at 0x7f99bb44>")


def test_a_buffer_to_fill_is_its_length() -> None:
    """What a buffer holds before it is read into means nothing; what is sent from one does."""

    def recv_into(*_: object) -> None: ...

    assert described(recv_into, bytearray(b"ab")) == described(recv_into, bytearray(b"xy"))
    assert described(recv_into, bytearray(2)) != described(recv_into, bytearray(3))


def test_statements_are_kept_whole() -> None:
    """A changed statement can be shown beside the recorded one; other long texts by their beginning."""
    statement = "SELECT " + ", ".join(f"column_{n}" for n in range(50))
    assert statement in shown(described(print, statement, (1,)))
    long = shown(described(print, "x" * SHORT * 2))
    assert len(long) < SHORT
    assert f"{SHORT * 2} characters" in long


def test_shown_reads_like_the_call() -> None:
    """What a user is shown is the call as it stands in a source, near enough."""
    cursor = Cursor()
    call = describer(cursor)(sqlite3.Cursor.execute, (cursor, "select ?", (1, None, 2.5)), {"a": [b"x"]})
    assert shown(call).endswith("execute(#0, 'select ?', (1, None, 2.5), a=[b'x'])")
    assert shown(described(time.time)) == "time.time()"


def test_kinds_of_the_interpreter() -> None:
    """A class, a module and an exception are their names."""
    assert "class int" in shown(described(print, int))
    assert "module sqlite3" in shown(described(print, sqlite3))
    assert "ValueError" in shown(described(print, ValueError("0x7f")))
    assert described(print, ValueError("a")) == described(print, ValueError("b"))
    assert described(print, types.SimpleNamespace(a=1)) == described(print, types.SimpleNamespace(a=2))


def test_the_same_parts_in_another_order() -> None:
    """Two statements that only order their parts differently: the difference says where that comes from."""
    statement = 'execute("SELECT x FROM t WHERE id IN ({})")'
    assert "order of their addresses" in in_another_order(
        statement.format("1, 12"), statement.format("12, 1")
    )
    assert in_another_order(statement.format("1, 12"), statement.format("1, 21")) == ""
