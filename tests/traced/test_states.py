"""When two calls ask the same question, whatever the handles of their objects."""

from __future__ import annotations

from typing import Any

from loadgen.traced.states import States, handleless

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
