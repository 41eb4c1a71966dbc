"""Secrets are found by rules and patterns, and replaced in every form, alike everywhere."""

from __future__ import annotations

import base64
import gzip
import html
import json
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.exchange import Failure, Request, Response
from loadgen.errors import UsageError
from loadgen.secrets.detector import detector
from loadgen.secrets.finding import Secrets, parse

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
LINE = "MIIEvQIBADANBgkqhkiG9w"
TOKEN = 'tk_Qz9-"ä8Kx'


def holding(*values: str, key: bytes = b"k" * 32) -> Secrets:
    """Return the secrets *values*."""
    found = Secrets(key, parse(()))
    for value in values:
        found.add(value, "test")
    return found


def learnt(text: str, *rules: str) -> dict[str, str]:
    """Return the secrets in *text*."""
    found = Secrets(b"k" * 32, parse(rules), detector())
    found.learn_text(text)
    return found.values


def asked(body: bytes = b"", *headers: tuple[str, str], target: str = "/") -> Request:
    return Request(1, 0, "POST", target, headers, body)


@pytest.mark.parametrize(
    "written",
    [
        str,
        lambda text: json.dumps({"a": text}),
        lambda text: json.dumps({"a": json.dumps({"b": text})}),
        lambda text: json.dumps(text, ensure_ascii=False),
        urllib.parse.quote,
        lambda text: urllib.parse.urlencode({"a": text}),
        lambda text: "".join(f"%{one:02x}" for one in text.encode()),
        html.escape,
        str.upper,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(b"x" + text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(b"yy" + text.encode() + b"zzz").decode().rstrip("="),
        lambda text: f"id{base64.b64encode(text.encode()).decode()}",
        lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
        lambda text: base64.encodebytes(b"-" * 70 + text.encode() + b"-" * 50).decode(),
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(gzip.compress(text.encode())).decode(),
        lambda text: zlib.compress(text.encode()).hex(),
    ],
)
def test_a_secret_is_replaced_however_it_is_written(written: object) -> None:
    """Escaped, quoted, encoded, packed: nothing that has the secret in it stays as it is."""
    assert callable(written)
    text = f"before {written(TOKEN)} after"
    replaced = holding(TOKEN).text(text)
    assert (replaced.startswith("before "), replaced.endswith(" after")) == (True, True)
    assert written(TOKEN) not in replaced


@given(st.text("abcXYZ0123456789-_.@ /", min_size=8, max_size=60))
def test_pseudonyms_keep_the_shape(value: str) -> None:
    """Letters stay letters, digits digits, the rest itself; equal values are equal, also in another run."""
    found, again = holding(value), holding(value, "another-secret-1")
    value = value.strip()
    pseudonym = found.text(value)
    assert len(pseudonym) == len(value)
    assert all(
        (one.isdigit(), one.isupper(), one.islower()) == (other.isdigit(), other.isupper(), other.islower())
        for one, other in zip(value, pseudonym, strict=True)
    )
    assert found.text(f"<{value}>") == f"<{pseudonym}>" == again.text(f"<{value}>")


def test_an_escaped_value_is_the_value() -> None:
    """However a value was written where it was found, its pseudonym is the same, and escapes stay escapes."""
    pem = f"-----BEGIN PRIVATE KEY-----\n{LINE}\n-----END PRIVATE KEY-----"
    escaped, plain = Secrets(b"k", parse(())), Secrets(b"k", parse(()))
    escaped.learn_text(json.dumps({"key": pem}))
    plain.learn_text(pem)
    assert json.loads(escaped.text(json.dumps(pem))) == plain.text(pem) == escaped.text(pem) != pem


def test_no_end_of_a_secret_is_left_where_others_overlap() -> None:
    """A value that overlaps another one, or is part of its base64, does not leave the rest in clear text."""
    found = holding("first.secret/ghi", "ghi-and-a-longer-one")
    assert "first" not in found.text("first.secret/ghi-and-a-longer-one")
    encoded = base64.b64encode(b"for tk_p39J5zEGdKzB7RK9118-iOZX").decode()
    found = holding("tk_p39J5zEGdKzB7RK9118-iOZX", encoded[17:])
    assert b"tk_p39J" not in base64.b64decode(found.text(encoded))
    assert encoded[:12] not in found.text(json.dumps({"a": encoded}))


@pytest.mark.parametrize("written", [lambda one: one.replace("/", "\\/"), urllib.parse.quote_plus])
def test_base64_is_found_in_escapes(written: object) -> None:
    """Characters of base64 may be escaped: the rest is not read without them."""
    assert callable(written)
    encoded = base64.b64encode(b"\xff\xfe?secret-value-1?\xff").decode()
    assert "/" in encoded
    text = holding("secret-value-1").text(f"a={written(encoded)}&b")
    assert encoded[8:14] not in text


def test_another_key_gives_other_pseudonyms() -> None:
    """Without the key, a guess of the value cannot be checked."""
    assert holding("guess-me-1234").text("guess-me-1234") != holding("guess-me-1234", key=b"z").text(
        "guess-me-1234"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ('{"password": "p\\u00e4ss\\"word"}', 'päss"word'),
        ('{\\"db_password\\": \\"hunter22\\"}', "hunter22"),
        ("user=a&api_key=k%2Fey1&b=c", "k/ey1"),
        ("DATABASE_URL=postgres://shop:pa55w0rd@db:5432/x", "pa55w0rd"),
        ("mail to alice.b+c@mail.example.org now", "alice.b+c@mail.example.org"),
        ("card 4111 1111 1111 1111.", "4111 1111 1111 1111"),
        ("card=4111111111111111", "4111111111111111"),
        (f"x {JWT} y", JWT),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{LINE}\n-----END RSA PRIVATE KEY-----", LINE),
        ("pin: 4711, otp=123456", "4711"), ("password=12345", "12345"),
        ("aws AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("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", "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"),
        (base64.b64encode(b'{"token": "inside-123"}').decode(), "inside-123"),
    ],
)  # fmt: skip
def test_secrets_are_found_without_a_rule(text: str, value: str) -> None:
    """The built-in patterns and the detector find what usually is a secret."""
    assert value in learnt(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/users/12/posts?page=3", "session_timeout=3600 token_type=mac&limit=5000", "shopping: list1",
        '{"token": null, "password": true}', "order 1234567890123456 at 12:00",
        "Content-Security-Policy: default-src 'self'",
        "/usr/lib/python3.11/site-packages/flask/app.py, line 9",
    ],
)  # fmt: skip
def test_ordinary_text_has_no_secrets(text: str) -> None:
    """What is no secret keeps its text, so that reports stay readable."""
    assert learnt(text) == {}


def test_rules_find_what_looks_like_nothing() -> None:
    """Values are found by header, JSON path, field, variable and expression, and replaced everywhere."""
    found = Secrets(
        b"k" * 32, parse(("header:X-Id", "json:$..pin", "query:sig", "env:MODE", r"regex:no\. (\w+)"))
    )
    found.learn_environment({"MODE": "plainmode", "OTHER": "stays"})
    body = json.dumps({"a": [{"pin": "four"}], "no": "no. wordy"}).encode()
    found.learn_event(
        asked(body, ("X-Id", "someid"), ("Content-Type", "application/json"), target="/?sig=sigval")
    )
    form = ("Content-Type", "application/x-www-form-urlencoded")
    found.learn_event(asked(b"a=b&sig=in+form", form))
    assert set(found.values) == {"plainmode", "someid", "sigval", "four", "wordy", "in form"}
    text = "plainmode stays someid sigval four wordy in form"
    assert [one for one in text.split(" ")[:6] if one in found.text(text)] == ["stays"]


def test_messages_stay_messages() -> None:
    """Bodies keep their content coding and bytes that are no text; names of headers stay."""
    found = holding("secret-value-1")
    packed = gzip.compress(b'{"a": "secret-value-1"}')
    answer = found.event(Response(1, 200, (("Content-Encoding", "gzip"), ("X", "secret-value-1")), packed))
    assert isinstance(answer, Response)
    inside = json.loads(gzip.decompress(answer.body))
    assert inside["a"] == answer.headers[1][1] != "secret-value-1"
    binary = b"\xff\xfe secret-value-1 \x00"
    (start, end) = (binary[:3], binary[-2:])
    body = found.body(binary)
    assert (body[:3], body[-2:], b"secret-value-1" in body) == (start, end, False)
    same = Response(1, 200, (), b"\xff\x00 nothing")
    assert found.event(same) == same
    failed = found.event(Failure(1, "ReadError", "at secret-value-1", came=answer))
    assert isinstance(failed, Failure)
    assert "secret-value-1" not in failed.message


def test_an_archive_with_a_secret_is_not_kept() -> None:
    """Inside of a body, what is compressed cannot be changed, so it is replaced as a whole."""
    found = holding("secret-value-1")
    archive = b"HEAD" + zlib.compress(b"many bytes and secret-value-1" * 3)
    assert zlib.compress(b"many bytes and secret-value-1" * 3) not in found.body(archive)


@pytest.mark.parametrize("rule", ["password", "header:", "json:x", "regex:(", "env:", "cookie:a"])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    """The message names the rule, and says which there are."""
    with pytest.raises(UsageError, match="secret") as caught:
        parse((rule,))
    assert "regex:PATTERN" in caught.value.advice
