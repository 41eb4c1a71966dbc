"""Constant sets have one order, wherever the code came from."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.traced.constants import ordered

if TYPE_CHECKING:
    from types import CodeType

SOURCE = """
found = [one for one in {36, 63, 50, 4, 61}]
class Named:
    numbers = {29, 25, 32, 22, 54, 36}
    def among(self, number, of=(1, "a", None)):
        return [one for one in {60, 48, 26, 12}], number in {57, 15, 63}
found += [*Named.numbers], Named().among(15)
"""


def _found(code: CodeType) -> Any:
    names: dict[str, Any] = {}
    exec(code, names)
    return names["found"]


def test_read_from_bytecode_as_compiled() -> None:
    """In functions and classes, too; without it, the order differs."""
    compiled = compile(SOURCE, "source", "exec")
    read = marshal.loads(marshal.dumps(compiled))
    assert _found(read) != _found(compiled)
    assert _found(ordered(read)) == _found(ordered(compiled))
    assert sorted(_found(ordered(read))[:5]) == [4, 36, 50, 61, 63]


@pytest.mark.parametrize("source", ["a = 1", "def f(x):\n    return x in {1}", "a = (1, 'a', None)"])
def test_other_code_is_left_as_it_is(source: str) -> None:
    """The same object."""
    code = compile(source, "source", "exec")
    assert ordered(code) is code
