"""Invariants over a history: what contradicts them is found, and nothing else."""

from __future__ import annotations

import json

import pytest

from loadgen.core.invariants import Answered, Conserved, Monotonic, Unique, read


def history(*bodies: object, status: int = 200) -> list[Answered]:
    """Return answers that came one after the other."""
    return [
        Answered(number, 2.0 * number, 2.0 * number + 1, status, json.dumps(body).encode())
        for number, body in enumerate(bodies, 1)
    ]


def test_unique() -> None:
    """The first value that comes again is told, with both requests; values of other kinds are others."""
    broken = Unique("json:$.id").check(history({"id": 1}, {"id": "1"}, {"no": 1}, {"id": 1}))
    assert broken is not None
    assert (broken.invariant, broken.seqs) == ("unique json:$.id", (1, 4))
    assert Unique("json:$.id").check(history({"id": 1}, {"id": 2}, {"id": [1]})) is None


def test_monotonic_looks_at_what_was_known() -> None:
    """Less than an answer that was there when it was asked for breaks it, and nothing else does."""
    assert Monotonic("json:$.n").check(history({"n": 1}, {"n": 1}, {"n": 3})) is None
    broken = Monotonic("json:$.n").check(history({"n": 5}, {"n": 4}))
    assert broken is not None
    assert broken.seqs == (1, 2)
    together = [Answered(1, 0, 10, 200, b'{"n": 5}'), Answered(2, 1, 11, 200, b'{"n": 4}')]
    assert Monotonic("json:$.n").check(together) is None


def test_conserved() -> None:
    """All answers have what the first one had."""
    assert Conserved("json:$.sum").check(history({"sum": 400}, {"sum": 400})) is None
    broken = Conserved("json:$.sum").check(history({"sum": 400}, {}, {"sum": 399}))
    assert broken is not None
    assert broken.seqs == (1, 3)


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff", b"[]", b"{}"])
def test_what_has_no_value_says_nothing(body: bytes) -> None:
    """Neither other kinds of answers nor errors break an invariant."""
    answers = [Answered(number, number, number, 200, body) for number in (1, 2)]
    assert Unique("json:$.id").check(answers) is None
    assert Unique("json:$.id").check(history({"id": 1}, {"id": 1}, status=500)) is None


@pytest.mark.parametrize("text", ["$.id", "json:id", "json:", ""])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A mistake is told before anything is recorded."""
    with pytest.raises(ValueError, match=r"json|JSON"):
        read(Unique, text)
