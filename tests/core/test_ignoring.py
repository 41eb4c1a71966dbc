"""The user's rules: named fields are left out, everything else is compared, and the rules are listed."""

from __future__ import annotations

import pytest

from loadgen.core.comparison import RULES, compare, ignoring
from loadgen.core.exchange import Failure, Response
from loadgen.core.judge import Judge
from loadgen.errors import UsageError


def answer(body: bytes, *headers: tuple[str, str]) -> Response:
    return Response(1, 200, headers, body)


def fields(one: Response, other: Response, *ignore: str) -> list[str]:
    return [difference.field for difference in compare(one, other, (*RULES, *ignoring(ignore)))]


def test_header() -> None:
    """A named header is left out, whatever its case; another is not."""
    one, other = answer(b"", ("X-At", "1"), ("X-B", "1")), answer(b"", ("x-at", "2"), ("X-B", "2"))
    assert fields(one, other, "header:X-AT") == ["header:x-b"]


def test_json_path() -> None:
    """A named value is left out with the length of its body; every other byte still counts."""
    one = answer(b'{"at": 1, "rows": [{"at": 2, "n": 1}]}', ("Content-Length", "38"))
    other = answer(b'{"at": 11, "rows": [{"at": 22, "n": 1}]}', ("Content-Length", "40"))
    assert fields(one, other) == ["body:$.at", "body:$.rows[0].at", "header:content-length"]
    assert fields(one, other, "json:$.at") == ["body:$.rows[0].at"]
    assert fields(one, other, "json:$.at", "json:$.rows[*].at") == []
    assert fields(one, other, "json:$..at") == []
    spaced = answer(b'{"at": 1, "rows":  [{"at": 2, "n": 1}]}')
    assert fields(answer(one.body), spaced, "json:$..at") == ["body at byte 21"]


def test_answers_that_were_cut() -> None:
    """The part that came is compared without what is left out, wherever it ends."""
    body = '{"at": "18:00 \\u00e9", "rows": [{"at": [1, {"x": -2.5}], "n": true, "é": "\\"q"}], "end": 7}'
    other = '{"at": "9 o\'clock", "rows": [{"at": null, "n": true, "é": "\\"q"}], "end": 7}'
    rules = (*RULES, *ignoring(["json:$..at"]))
    for length in range(len(body.encode()) + 1):
        part = Failure(1, "ReadTimeout", "", came=answer(body.encode()[:length]))
        assert not compare(part, answer(other.encode()), rules), part
    wrong = answer(other.replace("true", "false").encode())
    assert compare(Failure(1, "ReadTimeout", "", came=answer(body.encode()[:-9])), wrong, rules)
    assert compare(Failure(1, "ReadTimeout", "", came=answer(b'{"at": nonsense, 1')), wrong, rules)


def test_absent_value_is_a_difference() -> None:
    """A value that is missing is not left out with the value."""
    assert fields(answer(b'{"at": 1}'), answer(b"{}"), "json:$.at") == ["body:$.at"]


@pytest.mark.parametrize("rule", ["", "at", "header:", "json:", "json:at", "json:$", "query:x", "json:$.a["])
def test_what_names_no_field_is_refused(rule: str) -> None:
    """A rule that would leave out nothing, or who knows what, is a mistake of the command line."""
    with pytest.raises(UsageError):
        ignoring([rule])


def test_verdict_lists_them() -> None:
    """Nothing is left out that the verdict does not say."""
    verdict = Judge(ignoring(["json:$.at"])).verdict(requests=0, complete=False, client_order_same=None)
    assert verdict.to_json()["rules"][-1]["name"] == "json:$.at"
