"""HTTP/1 framing: a message is the same however its bytes are cut, and what is ambiguous is refused."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.http1 import (
    Body,
    Chunked,
    Malformed,
    Refused,
    Sized,
    ToTheEnd,
    answer_head,
    check_beginning,
    head_end,
    request_head,
)


def chunked(pieces: list[bytes], extension: bytes, trailers: list[bytes]) -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces if piece)
    return chunks + b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"


def feed(body: Body, data: bytes, cuts: list[int]) -> int:
    """Feed *data* in pieces that end at *cuts*, and return how much of it was the body."""
    taken = 0
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        got = body.take(data[start:end])
        taken += got
        if got < end - start:
            assert body.ended
            break
    return taken


CUTS = st.lists(st.integers(0, 200), max_size=8).map(sorted)


@given(
    st.lists(st.binary(max_size=40), max_size=6),
    st.sampled_from([b"", b";a=b", b' ;q="x"']),
    st.lists(st.sampled_from([b"X-Sum: 1", b"X: " + b"y" * 30]), max_size=2),
    st.binary(max_size=10),
    CUTS,
)
def test_chunks(
    pieces: list[bytes], extension: bytes, trailers: list[bytes], more: bytes, cuts: list[int]
) -> None:
    """However it is cut, a chunked body has its content, and nothing of what follows it is taken."""
    data = chunked(pieces, extension, trailers)
    whole = data + more
    body = Chunked()
    assert feed(body, whole, [min(cut, len(whole)) for cut in cuts]) == len(data)
    assert (body.ended, b"".join(body.content)) == (True, b"".join(pieces))


@given(st.binary(max_size=60), st.binary(max_size=10), CUTS)
def test_sized(content: bytes, more: bytes, cuts: list[int]) -> None:
    """However it is cut, a body of a known length has that length."""
    whole = content + more
    body = Sized(len(content))
    assert feed(body, whole, [min(cut, len(whole)) for cut in cuts]) == len(content)
    assert (body.ended, b"".join(body.content)) == (True, content)


def test_to_the_end() -> None:
    """Without a length all belongs to the body, which ends when somebody says so."""
    body = ToTheEnd()
    assert (body.take(b"a"), body.take(b"b"), body.ended) == (1, 1, False)
    assert body.content == [b"a", b"b"]


@pytest.mark.parametrize(
    "data",
    [b"\r\n", b"g\r\n", b"-1\r\n", b"0x1\r\n", b"1 2\r\n", b"f" * 16 + b"\r\n", b"1\r\nab\r\n", b"1" * 5000,
     b"0\r\n" + b"X: 12345678\r\n" * 6000],
)  # fmt: skip
def test_bad_chunks(data: bytes) -> None:
    """What is not a chunk is never taken for one, nor read for ever."""
    with pytest.raises(Malformed):
        Chunked().take(data)


@given(st.binary(max_size=300))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever comes, the only error is that it is malformed."""
    for read in (request_head, answer_head, check_beginning, Chunked().take):
        with suppress(Malformed):
            read(data)


@given(st.sampled_from([b"\r\n", b"\n"]), st.sampled_from([b"\r\n", b"\n"]), st.binary(max_size=10))
def test_the_end_of_a_head(line: bytes, last: bytes, more: bytes) -> None:
    """A head ends with its empty line, and is found when it is whole, not before."""
    head = b"GET / HTTP/1.1" + line + b"A: b" + line + last
    assert head_end(head + more) == len(head)
    for cut in range(len(head)):
        assert head_end(head[:cut]) == -1
        assert head_end(head + more, cut) == len(head)


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n"]), max_size=20).map(b"".join))
def test_the_first_empty_line_ends_a_head(data: bytes) -> None:
    """Line ends of both kinds may be mixed, and follow each other."""
    found = re.search(rb"\n\r?\n", data)
    assert head_end(data) == (found.end() if found else -1)


@pytest.mark.parametrize(
    ("connection", "version", "keeps"),
    [
        ("", 1, True), ("", 0, False), ("close", 1, False), ("Keep-Alive", 0, True), ("keep-alive", 1, True),
        ("upgrade, Close", 1, False), ("not-close", 1, True), ("TE\r\nConnection: close", 1, False),
    ],
)  # fmt: skip
def test_who_keeps_a_connection(connection: str, version: int, keeps: bool) -> None:  # noqa: FBT001
    """Both heads say whether the connection can be used again, by version and by what Connection lists."""
    header = f"Connection: {connection}\r\n" if connection else ""
    assert request_head(f"GET / HTTP/1.{version}\r\n{header}\r\n".encode()).keeps is keeps
    assert answer_head(f"HTTP/1.{version} 200 OK\r\n{header}\r\n".encode()).keeps is keeps


@pytest.mark.parametrize(
    ("method", "status", "headers", "kind"),
    [
        ("GET", 200, "Content-Length: 5\r\n", Sized), ("GET", 200, "", ToTheEnd),
        ("GET", 200, "Transfer-Encoding: chunked\r\n", Chunked),
        ("GET", 200, "Transfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n", Chunked),
        ("GET", 200, "Transfer-Encoding: gzip\r\n", ToTheEnd),
        ("HEAD", 200, "Content-Length: 5\r\n", None), ("GET", 204, "Transfer-Encoding: chunked\r\n", None),
        ("GET", 304, "Content-Length: 5\r\n", None), ("GET", 103, "", None),
    ],
)  # fmt: skip
def test_the_body_of_an_answer(method: str, status: int, headers: str, kind: type | None) -> None:
    """An answer's body depends on what was asked, too."""
    body = answer_head(f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode()).body(method)
    if kind is None:
        assert body.ended
    else:
        assert type(body) is kind
        assert not body.ended


def test_reason() -> None:
    """The reason phrase is kept as it came, or as nothing."""
    assert answer_head(b"HTTP/1.1 200 ALL  FINE\r\n\r\n").reason == "ALL  FINE"
    assert answer_head(b"HTTP/1.1 200\r\n\r\n").reason == ""


def test_blanks_behind_a_value() -> None:
    """They stay in a request, as some servers give them to the application, and change nothing else."""
    fields = b"Content-Length: 5 \r\nConnection:  close\t\r\nX-Empty:  \r\n\r\n"
    head = request_head(b"POST / HTTP/1.1\r\n" + fields)
    assert head.headers == (("Content-Length", "5 "), ("Connection", "close\t"), ("X-Empty", ""))
    assert (head.length, head.keeps) == (5, False)
    chunks = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked \r\nExpect: 100-continue \r\n\r\n"
    assert (request_head(chunks).length, request_head(chunks).expects) == (None, True)
    answer = answer_head(b"HTTP/1.1 200 OK\r\n" + fields)
    assert answer.headers == (("Content-Length", "5"), ("Connection", "close"), ("X-Empty", ""))


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_expect(expect: str) -> None:
    """A client of HTTP/1.0 cannot wait for an interim answer, which it would not know."""
    assert request_head(f"POST / HTTP/1.1\r\nExpect: {expect}\r\n\r\n".encode()).expects
    assert not request_head(f"POST / HTTP/1.0\r\nExpect: {expect}\r\n\r\n".encode()).expects


@pytest.mark.parametrize(
    "data", [b"G", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n", b"x-y"]
)
def test_a_good_beginning(data: bytes) -> None:
    """What can still become a request is waited for."""
    check_beginning(data)


@pytest.mark.parametrize("data", [b"\x16", b"\x00", b"GET /\r\n", b"GET / HTTP/2.0\r\n", b"{", b" GET"])
def test_a_bad_beginning(data: bytes) -> None:
    """What cannot is refused at once: its client may wait for an answer before it sends more."""
    with pytest.raises(Refused):
        check_beginning(data)
