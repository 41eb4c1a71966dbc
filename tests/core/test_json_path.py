"""JSON paths: exactly the matching values are found in the text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core import json_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def found(text: str, *paths: str) -> list[str]:
    """Return the texts that the paths point to."""
    return [text[start:end] for start, end in json_path.find(text, map(json_path.parse, paths))]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$.user.password", ['"hunter2"']),
        ("$.user", ['{"password" : "hunter2", "pins": [12, 34]}']),
        ("$.user.pins[1]", ["34"]),
        ("$.user.pins[*]", ["12", "34"]),
        ("$.*.password", ['"hunter2"', "null"]),
        ("$..password", ['"hunter2"', "null"]),
        ('$["a b"].password', ["null"]),
        ("$.nothing", []),
        ("$.user.pins.0", []),
    ],
)
def test_path_points_to_exactly_its_values(path: str, values: list[str]) -> None:
    """Keys, indices, any, any depth, and quoted keys."""
    text = ' {"user": {"password" : "hunter2", "pins": [12, 34]} , "a b":{"password":null}} '
    assert found(text, path) == values


def test_repeated_key_is_found_each_time() -> None:
    """A parser would keep the last one only, and a secret in the first would be shown."""
    assert found('{"p": 1, "p": 2}', "$.p") == ["1", "2"]


@pytest.mark.parametrize("path", ["", "password", "$", "$.", "$[", "$[x]", "$..", "$.a b", '$["a'])
def test_what_is_no_path_is_refused(path: str) -> None:
    """Nothing is guessed: a mask that masks nothing would be worse than none."""
    with pytest.raises(ValueError, match=r".+"):
        json_path.parse(path)


@given(JSON)
def test_deep_search_passes_any_json(value: object) -> None:
    """Walking finds the end of everything that the standard parser reads, however it is spaced."""
    for text in (json.dumps(value), json.dumps(value, indent=1), json.dumps(value, separators=(",", ":"))):
        json_path.find(text, [json_path.parse("$..zzzzz")])


@given(st.text(max_size=30))
def test_damaged_json_is_an_error_of_value(text: str) -> None:
    """Whatever is no JSON is a ValueError and nothing else."""
    for damaged in (text, "{" + text, '{"a":[' + text):
        try:
            json_path.find(damaged, [json_path.parse("$.a[*].b")])
        except ValueError:
            continue
        json.loads(damaged)
