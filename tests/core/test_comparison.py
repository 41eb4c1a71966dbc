"""Comparison: everything from the application is compared, and the first difference is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadgen.core.comparison import (
    BOUNDARY_HEADERS,
    LISTED,
    RULES,
    SHOWN,
    Difference,
    compare,
    compared_headers,
    header,
)
from loadgen.core.exchange import Failure, Headers, Outcome, Response

LIVE = ("Date", "Server", "Connection", "Keep-Alive", "Transfer-Encoding")
BOUNDARY = tuple(sorted(BOUNDARY_HEADERS))


def answer(body: bytes = b"{}", *headers: tuple[str, str], status: int = 200) -> Response:
    return Response(1, status, headers or (("Content-Type", "application/json"),), body)


def own(name: str, value: str) -> tuple[str, str]:
    """Say, as the boundary does, that the application set this header itself."""
    return "X-Loadgen-Own", json.dumps([[name.lower(), value]])


def the_one(recorded: Response | Failure, replayed: Response | Failure) -> Difference:
    """Require exactly one difference, in both directions, and return it."""
    assert len(compare(replayed, recorded)) == 1
    (found,) = compare(recorded, replayed)
    return found


# ---- the same, and any one thing changed -----------------------------------------------------------------

names = st.text(st.sampled_from("abcXYZ-"), min_size=1, max_size=6).map(lambda name: f"X-{name}")
values = st.text(st.characters(max_codepoint=255), max_size=8)
headers_lists = st.lists(st.tuples(names, values), max_size=5).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
bodies = st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode())
answers = st.builds(Response, st.just(1), st.integers(100, 599), headers_lists, bodies)


@given(answers)
def test_equal_answers_have_no_difference(one: Response) -> None:
    """An answer never differs from itself."""
    assert compare(one, replace(one)) == ()


@given(answers, st.integers(100, 599))
def test_another_status_is_told(one: Response, status: int) -> None:
    """Another status is the one difference, whatever the rest is."""
    assume(status != one.status)
    assert the_one(one, replace(one, status=status)) == Difference("status", str(one.status), str(status))


@given(answers, headers_lists)
def test_other_headers_are_told(one: Response, headers: Headers) -> None:
    """Any other list of headers is told: values, names, their case, their number, their order."""
    assume(headers != one.headers)
    found = compare(one, replace(one, headers=headers))
    assert found
    assert all(difference.field.startswith("header") for difference in found)


@given(answers, st.data())
def test_one_changed_header_is_told(one: Response, data: st.DataObject) -> None:
    """One header dropped, doubled, changed or moved is told."""
    assume(one.headers)
    at = data.draw(st.integers(0, len(one.headers) - 1))
    name, value = one.headers[at]
    before, after = one.headers[:at], one.headers[at + 1 :]
    for changed in (
        (*before, *after),
        (*before, (name, value), (name, value), *after),
        (*before, (name, value + "x"), *after),
        (*before, (name.swapcase(), value), *after),
        (*before, *after, (name, value)),
    ):
        assert bool(compare(one, replace(one, headers=changed))) is (changed != one.headers)


@given(answers, bodies)
def test_another_body_is_told(one: Response, body: bytes) -> None:
    """Any other body is told, whether it is JSON or not."""
    assume(body != one.body)
    found = compare(one, replace(one, body=body))
    assert 1 <= len(found) <= LISTED + 1
    assert all(difference.field.startswith("body") for difference in found)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_one_flipped_bit_is_told(body: bytes, data: st.DataObject) -> None:
    """One bit of one byte is enough."""
    at = data.draw(st.integers(0, len(body) - 1))
    flipped = bytearray(body)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    assert the_one(answer(body), answer(bytes(flipped))).field.startswith("body")


def test_every_field_is_compared_at_once() -> None:
    """Status, headers and body are each told: the first difference does not hide the next."""
    found = compare(answer(b"1", ("A", "1")), answer(b"2", ("A", "2"), status=500))
    assert [difference.field for difference in found] == ["status", "body:$", "header:a"]


# ---- headers ---------------------------------------------------------------------------------------------


def test_header_order_is_compared() -> None:
    """The same headers in another order are a difference, of their order."""
    one, other = (("A", "1"), ("B", "2")), (("B", "2"), ("A", "1"))
    assert the_one(answer(b"", *one), answer(b"", *other)) == Difference("headers", "A, B", "B, A")


def test_order_of_duplicate_headers_is_compared() -> None:
    """Two values of one name are compared in their order, and shown as what they are."""
    one, other = (("Set-Cookie", "a"), ("Set-Cookie", "b")), (("Set-Cookie", "b"), ("Set-Cookie", "a"))
    assert the_one(answer(b"", *one), answer(b"", *other)) == Difference(
        "header:set-cookie", "'a', 'b'", "'b', 'a'"
    )


def test_joined_headers_are_not_separate_ones() -> None:
    """``a`` and ``b`` are not ``a, b``: headers are compared as sent."""
    assert compare(answer(b"", ("A", "a"), ("A", "b")), answer(b"", ("A", "a, b")))


def test_a_missing_header_is_absent_not_empty() -> None:
    """Absent and empty are different."""
    one = answer(b"", ("A", "1"), ("B", ""))
    assert the_one(one, answer(b"", ("A", "1"))) == Difference("header:b", "''", "(absent)")


def test_header_names_in_another_case_differ() -> None:
    """Names are compared as sent, too."""
    assert the_one(answer(b"", ("ETag", "1")), answer(b"", ("Etag", "1"))).field == "headers"


@pytest.mark.parametrize("name", LIVE)
def test_live_server_headers_are_left_out(name: str) -> None:
    """What the live HTTP server adds is not the application's: neither value nor presence is compared."""
    one = answer(b"", ("A", "1"), (name, "x"))
    assert compare(one, answer(b"", (name.upper(), "y"), ("A", "1"))) == ()
    assert compare(one, answer(b"", ("A", "1"))) == ()


@pytest.mark.parametrize("name", LIVE)
def test_own_headers_are_compared(name: str) -> None:
    """Where the application set such a header itself, it is compared."""
    one, other = (answer(b"", own(name, value), (name, value)) for value in "xy")
    assert the_one(one, other) == Difference(f"header:{name.lower()}", "'x'", "'y'")
    assert compare(one, replace(one)) == ()


def test_a_live_header_beside_the_applications_own_is_left_out() -> None:
    """Of two ``Date`` headers, the application's is compared and the live server's is not."""
    one, other = (answer(b"", own("Date", "x"), ("Date", "x"), ("Date", live)) for live in "12")
    assert compare(one, other) == ()
    assert the_one(one, answer(b"", own("Date", "y"), ("Date", "y"), ("Date", "1"))).recorded == "'x'"


def test_other_headers_are_compared_whatever_own_says() -> None:
    """The boundary's note adds to what is compared; it never takes away."""
    one, other = (answer(b"", own("Server", "x"), ("Server", "x"), ("A", value)) for value in "12")
    assert the_one(one, other).field == "header:a"


def test_own_in_one_phase_only_differs() -> None:
    """A header that the application set while recording, and not in replay, is a difference."""
    one = answer(b"", own("Date", "x"), ("Date", "x"))
    assert the_one(one, answer(b"", ("Date", "x"))) == Difference("header:date", "'x'", "(absent)")


@pytest.mark.parametrize("name", BOUNDARY)
def test_the_boundarys_own_headers_are_left_out(name: str) -> None:
    """What the boundary adds says record in one phase and replay in the other."""
    assert compare(answer(b"", ("A", "1"), (name.title(), "[]")), answer(b"", ("A", "1"))) == ()


@pytest.mark.parametrize(
    "name", ["Content-Length", "Content-Type", "Set-Cookie", "ETag", "Vary", "Age", "Via"]
)
def test_no_other_header_is_left_out(name: str) -> None:
    """The rules leave out what they name and nothing else."""
    assert the_one(answer(b"", (name, "1")), answer(b"", (name, "2"))).field == f"header:{name.lower()}"


def test_the_rules_are_the_named_ones() -> None:
    """Exactly the two documented rules are on by default, and they name exactly these headers."""
    assert [rule.name for rule in RULES] == ["live-server-headers", "boundary-headers"]
    assert frozenset().union(*(rule.headers for rule in RULES)) == {name.lower() for name in LIVE} | {
        *BOUNDARY
    }
    assert all(rule.why for rule in RULES)


def test_without_rules_everything_is_compared() -> None:
    """Rules are an argument: none means that nothing is left out."""
    one, other = answer(b"", ("Date", "1")), answer(b"", ("Date", "2"))
    assert compare(one, other, rules=())
    assert compared_headers(one, ()) == one.headers


def test_header_returns_the_last_of_a_name() -> None:
    """A header is found whatever its case; the last of several counts, as the boundary's own comes last."""
    one = answer(b"", ("X-A", "1"), ("x-a", "2"))
    assert header(one, "x-a") == "2"
    assert header(one, "x-b") is None


# ---- bodies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "replayed", "expected"),
    [
        ('{"a": 1}', '{"a": 2}', Difference("body:$.a", "1", "2")),
        ('{"a": [1, {"b": "x"}]}', '{"a": [1, {"b": "y"}]}', Difference("body:$.a[1].b", '"x"', '"y"')),
        ('{"a": 1}', "{}", Difference("body:$.a", "1", "(absent)")),
        ("{}", '{"a": null}', Difference("body:$.a", "(absent)", "null")),
        ('{"a b": 1}', '{"a b": 2}', Difference('body:$["a b"]', "1", "2")),
        ("[1, 2]", "[1]", Difference("body:$.length", "2", "1")),
        ("[]", "{}", Difference("body:$", "[]", "{}")),
        ("1", '"1"', Difference("body:$", "1", '"1"')),
        ("1", "true", Difference("body:$", "1", "true")),
        ("0", "false", Difference("body:$", "0", "false")),
        ("1", "1.0", Difference("body:$", "1", "1.0")),
        ('{"a": true}', '{"a": 1.0}', Difference("body:$.a", "true", "1.0")),
        ("null", "false", Difference("body:$", "null", "false")),
        ('"é"', '"e"', Difference("body:$", '"é"', '"e"')),
    ],
)
def test_json_difference_is_named(recorded: str, replayed: str, expected: Difference) -> None:
    """JSON bodies are told apart by the path of each value that differs, in type or in value."""
    assert the_one(answer(recorded.encode()), answer(replayed.encode())) == expected


def test_each_json_difference_is_named() -> None:
    """All places are told, in their order, up to a limit; the rest is counted."""
    found = compare(answer(b'{"a": [1, 2], "b": 1}'), answer(b'{"a": [3], "b": 2}'))
    assert [one.field for one in found] == ["body:$.a[0]", "body:$.a.length", "body:$.b"]
    many = [bytes(str([at] * 20), "ascii") for at in (1, 2)]
    found = compare(answer(many[0]), answer(many[1]))
    assert [one.field for one in found[-2:]] == [f"body:$[{LISTED - 1}]", "body"]
    assert found[-1].recorded == f"({20 - LISTED} more values)"


@pytest.mark.parametrize(
    ("recorded", "replayed", "at"),
    [
        (b'{"a": 1}', b'{"a":1}', 5),
        (b'{"a":1}', b'{"a":1}\n', 7),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', 2),
        (b'"\\u00e9"', '"é"'.encode(), 1),
        (b"1.0", b"1.00", 3),
        (b"1e2", b"100.0", 1),
        (b'{"a":1,"a":2}', b'{"a":2}', 5),
    ],
)
def test_equal_json_in_other_bytes_differs(recorded: bytes, replayed: bytes, at: int) -> None:
    """The same value written otherwise is another answer: bodies are compared as bytes."""
    assert the_one(answer(recorded), answer(replayed)).field == f"body at byte {at}"


@pytest.mark.parametrize(
    ("recorded", "replayed", "expected"),
    [
        (b"abc", b"abd", Difference("body at byte 2", "abc", "abd")),
        (b"abc", b"ab", Difference("body at byte 2", "abc", "ab")),
        (b"", b"x", Difference("body at byte 0", "(empty)", "x")),
        (b"\xff\x00", b"\xfe\x00", Difference("body at byte 0", "\\xff\x00", "\\xfe\x00")),
        (b"{}", b"", Difference("body at byte 0", "{}", "(empty)")),
        (b"{}", b"not json", Difference("body at byte 0", "{}", "not json")),
    ],
)
def test_other_bodies_are_told_by_their_first_byte(
    recorded: bytes, replayed: bytes, expected: Difference
) -> None:
    """Text and binary bodies are told apart by the first byte that differs."""
    assert the_one(answer(recorded), answer(replayed)) == expected


def test_long_bodies_are_quoted_where_they_differ() -> None:
    """An excerpt shows the place of the difference, and is no longer than said."""
    same = b"s" * 10_000
    found = the_one(answer(same + b"A" + same), answer(same + b"B" + same))
    assert found.field == "body at byte 10000"
    assert found.recorded.startswith("…s")
    assert found.recorded[41] == "A"
    assert found.replayed[41] == "B"
    assert max(len(found.recorded), len(found.replayed)) <= SHOWN


def test_long_values_are_shortened() -> None:
    """A verdict stays readable: a quoted value has a limit."""
    found = the_one(answer(json.dumps("x" * 9999).encode()), answer(b"1", status=200))
    assert len(found.recorded) == SHOWN
    assert found.recorded.endswith("…")


# ---- no answer -------------------------------------------------------------------------------------------


def test_no_answer_differs_from_an_answer() -> None:
    """An answer that is not there any more, or only now, is a difference."""
    failure = Failure(1, "RemoteProtocolError", "closed")
    assert the_one(answer(), failure) == Difference(
        "outcome", "answered 200", "no answer: RemoteProtocolError closed"
    )


def test_two_failures_have_nothing_to_compare() -> None:
    """Where nothing came on either side there is no difference."""
    assert compare(Failure(1, "ReadTimeout", "a"), Failure(1, "ReadError", "b")) == ()


def cut(body: bytes, kind: str = "ReadTimeout") -> Failure:
    return Failure(1, kind, "", came=answer(body))


@pytest.mark.parametrize(
    ("recorded", "replayed", "field"),
    [
        # given up by its client: as far as it came, however the replay's answer ends
        (cut(b"abc"), answer(b"abcdef"), None),
        (cut(b"abc"), cut(b"abcdef", "RemoteProtocolError"), None),
        (cut(b"abc"), cut(b"ab", "ReadError"), None),
        (cut(b""), answer(b"abc"), None),
        (Failure(1, "ReadTimeout", ""), answer(b"abc"), None),
        (cut(b"abc"), answer(b"abX"), "body at byte 2"),
        (cut(b"abc"), answer(b"ab"), "body at byte 2"),
        (cut(b"abc"), cut(b"ab", "RemoteProtocolError"), "body at byte 2"),
        (cut(b"abc"), answer(b"abc", status=500), "status"),
        (cut(b"abc"), Failure(1, "RemoteProtocolError", ""), "outcome"),
        # broken off by the server: at the same byte, and not later
        (cut(b"ab", "RemoteProtocolError"), cut(b"ab", "RemoteProtocolError"), None),
        (cut(b"ab", "RemoteProtocolError"), cut(b"abc", "RemoteProtocolError"), "body at byte 2"),
        (cut(b"ab", "RemoteProtocolError"), answer(b"ab"), "outcome"),
        (Failure(1, "RemoteProtocolError", ""), cut(b"", "RemoteProtocolError"), "outcome"),
    ],
)
def test_what_came_of_an_answer_is_compared(recorded: Outcome, replayed: Outcome, field: str | None) -> None:
    """How much comes until a client leaves is chance; what the server itself breaks off is not."""
    assert [one.field for one in compare(recorded, replayed)] == ([field] if field else [])


def test_reason_phrases() -> None:
    """They are compared where both are known."""
    fine = replace(answer(b""), reason="FINE")
    assert the_one(fine, replace(fine, reason="OK")) == Difference("reason", "FINE", "OK")
    assert compare(fine, replace(fine, reason=None)) == ()


@pytest.mark.parametrize(
    ("recorded", "replayed", "field"),
    [
        (b'"\\ud800"', b"1", "body:$"),
        (b"[" * 100_000, b"[" * 100_001, "body at byte 100000"),
        (b'{"a": NaN, "b": 1}', b'{"a": NaN, "b": 2}', "body:$.b"),
    ],
    ids=["lone-surrogate", "deep", "nan"],
)
def test_odd_json(recorded: bytes, replayed: bytes, field: str) -> None:
    """JSON that is hard to quote, to walk or to compare is a difference like any other."""
    (difference,) = compare(answer(recorded), answer(replayed))
    assert difference.field == field
    (difference.recorded + difference.replayed).encode()


@pytest.mark.parametrize("own", ["x", "5", "{}", "null"])
def test_own_header_of_the_application(own: str) -> None:
    """An application's header of the boundary's name changes nothing that is compared."""
    one = answer(b"", ("Date", "now"), ("X-Loadgen-Own", own), ("X-A", "1"))
    assert compared_headers(one) == (("X-A", "1"),)


def test_own_header_that_equals_the_servers() -> None:
    """The server's own Date may equal the application's: only one of the two is the application's."""
    same = answer(b"", ("Date", "now"), ("X-A", "1"), ("Date", "now"), own("Date", "now"))
    later = answer(b"", ("Date", "later"), ("X-A", "1"), ("Date", "now"), own("Date", "now"))
    assert compare(same, later) == ()
    assert compared_headers(same) == (("X-A", "1"), ("Date", "now"))
