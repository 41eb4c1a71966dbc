"""Invariants over a history: what contradicts them is found, and nothing else."""

from __future__ import annotations

import json

import pytest

from loadgen.core.exchange import Request, Response
from loadgen.core.history import Operation
from loadgen.core.invariants import Conserved, Monotonic, Unique, check_path


def answered(seq: int, asked: float, end: float, body: bytes, status: int = 200) -> Operation:
    return Operation(Request(seq, 0, "GET", "/", ()), Response(seq, status, (), body), asked, end)


def history(*bodies: object, status: int = 200) -> list[Operation]:
    """Return answers that came one after the other."""
    return [
        answered(number, 2.0 * number, 2.0 * number + 1, json.dumps(body).encode(), status)
        for number, body in enumerate(bodies, 1)
    ]


def test_unique() -> None:
    """The first value that comes again is told, with both requests; values of other kinds are others."""
    broken = Unique("json:$.id").check(history({"id": 1}, {"id": "1"}, {"no": 1}, {"id": 1}))
    assert broken.holds is False
    assert (broken.invariant, broken.seqs) == ("unique json:$.id", (1, 4))
    assert Unique("json:$.id").check(history({"id": 1}, {"id": 2}, {"id": [1]})).holds


def test_monotonic_looks_at_what_was_known() -> None:
    """Less than an answer that was there when it was asked for breaks it, and nothing else does."""
    assert Monotonic("json:$.n").check(history({"n": 1}, {"n": 1}, {"n": 3})).holds
    broken = Monotonic("json:$.n").check(history({"n": 5}, {"n": 4}))
    assert broken.holds is False
    assert broken.seqs == (1, 2)
    together = [answered(1, 0, 10, b'{"n": 5}'), answered(2, 1, 11, b'{"n": 4}')]
    assert Monotonic("json:$.n").check(together).holds


def test_conserved() -> None:
    """All answers have what the first one had."""
    assert Conserved("json:$.sum").check(history({"sum": 400}, {"sum": 400})).holds
    broken = Conserved("json:$.sum").check(history({"sum": 400}, {}, {"sum": 399}))
    assert broken.holds is False
    assert broken.seqs == (1, 3)


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff", b"[]", b"{}"])
def test_what_has_no_value_says_nothing(body: bytes) -> None:
    """Neither other kinds of answers nor errors break an invariant; without any, it is undetermined."""
    answers = [answered(number, number, number, body) for number in (1, 2)]
    for kind in (Unique, Monotonic, Conserved):
        assert kind("json:$.id").check(answers).holds is None
        assert kind("json:$.id").check(history({"id": 1}, {"id": 1}, status=500)).holds is None
    assert Unique("json:$.id").check([*answers, *history({"id": 1})]).holds


@pytest.mark.parametrize("text", ["$.id", "json:id", "json:", ""])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A mistake is told before anything is recorded."""
    with pytest.raises(ValueError, match=r"json|JSON"):
        check_path(text)
