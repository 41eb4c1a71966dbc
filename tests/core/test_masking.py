"""Masking: named fields are hidden everywhere, and nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.masking import MASK, Masker, parse
from loadgen.errors import UsageError

FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
JSON = (("Content-Type", "application/json"),)


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "COOKIE", "Set-Cookie"])
def test_credentials_are_masked_without_being_asked(name: str) -> None:
    """The four headers that always carry secrets, in any case; order and neighbours stay."""
    headers = (("A", "1"), (name, "Bearer abc"), ("B", "2"))
    assert Masker(parse(())).headers(headers) == (("A", "1"), (name, MASK), ("B", "2"))


def test_only_the_value_in_a_body_changes() -> None:
    """Spacing, order and repeated keys of the JSON around it stay to the byte."""
    body = b'{ "b":1.0,\n "password" : "x\\u00e9", "password":2 }'
    masked = Masker(parse(["json:$.password"])).body(body, JSON)
    assert masked == b'{ "b":1.0,\n "password" : "(masked)", "password":"(masked)" }'


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)), st.text(min_size=4))
def test_no_named_field_survives(others: dict[str, object], secret: str) -> None:
    """For any value of the field, the masked body parses, has the mask, and is otherwise the same."""
    body = json.dumps({**others, "token": secret}).encode()
    assert json.loads(Masker(parse(["json:$.token"])).body(body, JSON)) == {**others, "token": MASK}


@pytest.mark.parametrize(
    "body", [b'{"password": "hunter2"', b'{"password": hunter2}', b'[{"password"', b"{" * 90_000]
)
def test_json_that_cannot_be_read_is_masked_whole(body: bytes) -> None:
    """Where a field cannot be found for sure, nothing is shown."""
    assert Masker(parse(["json:$.password"])).body(body, JSON) == MASK.encode()


def test_query_and_form_fields() -> None:
    """A field of that name, wherever it stands, and no field whose name merely ends so."""
    masker = Masker(parse(["query:token"]))
    assert masker.target("/a?token=abc&mytoken=1&b=2&token=x#f") == (
        f"/a?token={MASK}&mytoken=1&b=2&token={MASK}#f"
    )
    assert masker.headers((("Location", "/next?token=abc"),)) == (("Location", f"/next?token={MASK}"),)
    assert masker.body(b"a=1&token=s3cret", FORM) == f"a=1&token={MASK}".encode()


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("header:set-cookie", "'session=abc'", MASK),
        ("header:set-cookie", "(absent)", "(absent)"),
        ("header:x-region", "'north'", "'north'"),
        ("body:$.user.password", '"hunter2"', MASK),
        ("body:$.user.password.length", "3", MASK),
        ("body:$.user", '{"password": "hunter2", "n": 1}', f'{{"password": "{MASK}", "n": 1}}'),
        ("body:$.user", '{"password": "hunt…', MASK),
        ("body:$.count", "7", "7"),
        ("body at byte 3", "…hunter2", MASK),
        ("outcome", "left the tape: connect('hunter2-long')", f"left the tape: connect('{MASK}-long')"),
    ],
)
def test_differences_show_no_masked_field(field: str, value: str, shown: str) -> None:
    """What a verdict quotes is masked by where it stood, and of values that were seen masked elsewhere."""
    masker = Masker(parse(["json:$.user.password"]))
    masker.body(b'{"user": {"password": "hunter2"}}', JSON)
    assert masker.difference(field, value) == shown


def test_masked_values_leave_free_text() -> None:
    """A token that a header carried is not in a log line either, with or without its scheme."""
    masker = Masker(parse(()))
    masker.headers((("Authorization", "Bearer abcdef"), ("Cookie", "a=1; session=s3ss10n")))
    assert masker.text("Bearer abcdef; abcdef; s3ss10n; 1") == f"{MASK}; {MASK}; {MASK}; 1"


@pytest.mark.parametrize("rule", ["", "x-api-key", "header:", "json:", "json:password", "query:", "cookie:a"])
def test_rule_that_names_no_field_is_a_usage_error(rule: str) -> None:
    """It says what a rule looks like."""
    with pytest.raises(UsageError) as caught:
        parse([rule])
    assert "header:NAME" in caught.value.advice
