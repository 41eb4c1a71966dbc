"""Answers from a connection's bytes: complete, in any pieces, and assigned to their requests."""

from __future__ import annotations

import pytest

from loadgen.client.http_bytes import SendingConnection, TappedConnection
from loadgen.core.exchange import Failure, Outcome, Response


def asking(seq: int | None, method: str = "GET", body: bytes = b"") -> bytes:
    number = b"" if seq is None else b"X-Loadgen-Seq: %d\r\n" % seq
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s / HTTP/1.1\r\nHost: h\r\n%s%s\r\n%s" % (method.encode(), number, length, body)


WITH_LENGTH = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
UNTIL_END = b"HTTP/1.0 200 OK\r\nServer: s\r\n\r\nhi"


def heard(connection: TappedConnection, data: bytes, size: int) -> list[Outcome]:
    return [one for at in range(0, len(data), size) for one in connection.sent(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("sent", "status", "headers"),
    [
        (WITH_LENGTH, 200, (("X-A", "1"), ("x-a", "2"), ("Content-Length", "2"))),
        (CHUNKED, 201, (("Transfer-Encoding", "chunked"),)),
    ],
)
def test_kept_alive(sent: bytes, status: int, headers: tuple[tuple[str, str], ...], size: int) -> None:
    """Answers on one connection are those of its requests, in their order, however the bytes are cut."""
    connection = TappedConnection()
    found: list[Outcome] = []
    for seq in (7, 9):
        asked = asking(seq, "POST", b"body")
        for at in range(0, len(asked), size):
            connection.received(asked[at : at + size])
        found += heard(connection, sent, size)
    reason = {200: "OK", 201: "Made"}[status]
    assert found == [Response(seq, status, headers, b"hi", reason=reason) for seq in (7, 9)]


@pytest.mark.parametrize("size", [1, 1000])
def test_an_answer_that_lasts_until_the_end(size: int) -> None:
    """It is complete exactly when the server has ended it."""
    connection = TappedConnection()
    connection.received(asking(1))
    assert not heard(connection, UNTIL_END, size)
    assert list(connection.ended()) == [Response(1, 200, (("Server", "s"),), b"hi", reason="OK")]
    assert not list(connection.ended())


def test_an_answer_that_is_cut_is_a_failure() -> None:
    """Fewer bytes than announced are a failure."""
    connection = TappedConnection()
    connection.received(asking(1))
    assert not list(connection.sent(WITH_LENGTH[:-1]))
    (failure,) = connection.ended()
    assert isinstance(failure, Failure)
    assert failure.seq == 1
    assert failure.came is not None
    assert (failure.came.status, failure.came.body) == (200, b"h")


def test_an_answer_without_a_body() -> None:
    """An answer to HEAD has a length but no body."""
    connection = TappedConnection()
    connection.received(asking(1, "HEAD"))
    (answer,) = connection.sent(WITH_LENGTH[:-2])
    assert isinstance(answer, Response)
    assert (answer.seq, answer.body) == (1, b"")


def test_what_is_not_ours_is_left_out() -> None:
    """A health check between two requests takes no answer of theirs, and another protocol says nothing."""
    connection = TappedConnection()
    connection.received(asking(None))
    assert not list(connection.sent(WITH_LENGTH))
    connection.received(asking(2))
    assert [one.seq for one in connection.sent(WITH_LENGTH)] == [2]
    redis = TappedConnection()
    redis.received(b"+OK\r\n\x00")
    assert not list(redis.sent(b"*1\r\n$4\r\nPING\r\n"))
    assert not list(redis.ended())


def test_what_is_no_http_is_a_failure() -> None:
    """Bytes that no client could parse are a failure."""
    connection = TappedConnection()
    connection.received(asking(3))
    (failure,) = connection.sent(b"no http\r\n\r\n")
    assert isinstance(failure, Failure)
    assert failure.seq == 3


POST = b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc"
GET = b"GET /c HTTP/1.1\r\nHost: h\r\n\r\n"
FOUND = b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_a_client_sent_and_got(size: int) -> None:
    """Requests are complete with their bodies, and answers belong to them, however the bytes arrive."""
    one = SendingConnection(4)
    sent = [
        request
        for data in (POST, GET)
        for at in range(0, len(data), size)
        for request in one.sent(data[at : at + size])
    ]
    assert [(request.connection, request.index, request.target, request.body) for request in sent] == [
        (4, 0, "/a?b", b"abc"),
        (4, 1, "/c", b""),
    ]
    assert sent[0].headers == (("Host", "h"), ("Content-Length", "3"), ("X-A", "1"))
    answers = FOUND + FOUND[:-1]
    for at in range(0, len(answers), size):
        one.received(answers[at : at + size])
    assert sent[0].answer == Response(0, 200, (("Content-Length", "2"),), b"ok", reason="Fine")
    assert sent[1].answer is None
    one.received(b"")
    assert isinstance(sent[1].answer, Failure)


def test_a_connection_that_is_not_http() -> None:
    """It has no requests, and does not disturb."""
    one = SendingConnection(1)
    assert list(one.sent(b"\x16\x03\x01 hello")) == []
    assert list(one.sent(b"more")) == []
    one.received(b"\0")
