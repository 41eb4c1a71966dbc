"""Diff: two transcripts are paired from the clients' view, and compared like in verify."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadgen.core.comparison import ignoring
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import Run
from loadgen.core.verdict import Judgement
from loadgen.diff import diff, side
from loadgen.errors import TranscriptFault, UsageError
from loadgen.store.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.verdict import Verdict

Exchange = tuple[int, str, bytes | None]
"""A user, what it asked for, and the body of the answer."""


def write(path: Path, *exchanges: Exchange, end: bool = True) -> Path:
    """Write a transcript in which each request is answered at once."""
    path.mkdir()
    with Journal(path / "transcript.jsonl", path / "bodies") as journal:
        journal.write(Run("r", "s", 1, 2, 1, "2026-01-01T00:00:00+00:00"))
        for seq, (user, target, body) in enumerate(exchanges, 1):
            journal.resume(Request(seq, user, "GET", target, ()))
            journal.complete(
                Failure(seq, "ReadTimeout", "") if body is None else Response(seq, 200, (), body)
            )
        if end:
            journal.end([], len(exchanges))
    return path


def compared(one: Path, other: Path, *ignore: str) -> Verdict:
    return diff(side(one), side(other), ignoring(ignore))


def told(verdict: Verdict) -> list[tuple[int, str]]:
    return [(one.seq, one.differences[0].field) for one in verdict.divergences]


def test_paired_by_user(tmp_path: Path) -> None:
    """Two recordings with different interleavings are the same if each user's exchanges are."""
    a = write(tmp_path / "a", (0, "/1", b"x"), (1, "/1", b"y"), (0, "/2", b"z"))
    b = write(tmp_path / "b", (1, "/1", b"y"), (0, "/1", b"x"), (0, "/2", b"z"))
    verdict = compared(a, b)
    assert (verdict.judgement, verdict.compared) == (Judgement.IDENTICAL, 3)


def test_differences_are_named(tmp_path: Path) -> None:
    """A different answer, a different request, a missing and an additional request are each named."""
    a = write(tmp_path / "a", (0, "/1", b"x"), (0, "/2", b"x"), (1, "/1", b"x"), (1, "/2", None))
    b = write(tmp_path / "b", (0, "/1", b"y"), (0, "/3", b"x"), (1, "/1", b"x"), (2, "/1", b"x"))
    verdict = compared(a, b)
    assert verdict.judgement is Judgement.DIVERGED
    assert sorted(told(verdict)) == [
        (1, "body at byte 0"),
        (2, "request:target"),
        (4, "outcome"),
        (4, "outcome"),
    ]


def test_ignored_fields(tmp_path: Path) -> None:
    """Named rules are applied, and listed."""
    a = write(tmp_path / "a", (0, "/", b'{"at": 1}'))
    b = write(tmp_path / "b", (0, "/", b'{"at": 2}'))
    assert compared(a, b).judgement is Judgement.DIVERGED
    verdict = compared(a, b, "json:$.at")
    assert verdict.judgement is Judgement.IDENTICAL
    assert verdict.to_json()["rules"][-1]["name"] == "json:$.at"


def test_cut_short_is_not_identical(tmp_path: Path) -> None:
    """A truncated transcript is undetermined."""
    a, b = write(tmp_path / "a", (0, "/", b"x")), write(tmp_path / "b", (0, "/", b"x"), end=False)
    verdict = compared(a, b)
    assert verdict.judgement is Judgement.UNDETERMINED
    assert "cut short" in verdict.reasons[0].message


def test_empty_is_an_error(tmp_path: Path) -> None:
    """An empty comparison is never identical."""
    with pytest.raises(TranscriptFault, match="no request"):
        compared(write(tmp_path / "a"), write(tmp_path / "b"))


def test_what_is_no_transcript(tmp_path: Path) -> None:
    """A path without a transcript is a usage error."""
    with pytest.raises(UsageError, match="no transcript"):
        side(tmp_path)


def test_json(tmp_path: Path) -> None:
    """The JSON names both sides."""
    a, b = write(tmp_path / "a", (0, "/", b"x")), write(tmp_path / "b", (0, "/", b"x"))
    found = json.loads(json.dumps(compared(a, b).to_json()))
    assert (found["verdict"], found["compared_with"]) == ("identical", [str(a), str(b)])
