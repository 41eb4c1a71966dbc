"""Calls that do the same have one form."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from loadgen.traced.canonical import form, is_special, may_log, writes_logs


def _form(name: str, *args: Any, **kwargs: Any) -> Any:
    assert is_special(name)
    return form(name, args, kwargs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_form("io.open", "a"), _form("_io.open", Path("a"), "r", -1, None, None, None)),
        (_form("io.open", "a", "w"), _form("io.open", Path("a"), mode="w", buffering=-1, encoding="locale")),
        (_form("io.open", file="a", mode="rb"), _form("io.open", "a", "rb", closefd=True, opener=None)),
        (_form("posix.stat", "a"), _form("posix.stat", Path("a"), dir_fd=None, follow_symlinks=True)),
        (_form("posix.remove", "a"), _form("posix.unlink", Path("a"))),
        (_form("posix.mkdir", "a"), _form("posix.mkdir", Path("a"), 0o777)),
    ],
)
def test_written_in_two_ways(one: Any, other: Any) -> None:
    """The defaults may be said, and a path may be an object."""
    assert one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_form("io.open", "a", "w"), _form("io.open", "a", "a")),
        (_form("io.open", "a"), _form("io.open", "b")),
        (_form("io.open", "a"), _form("io.open", "a", encoding="latin-1")),
        (_form("io.open", "a", "wb"), _form("io.open", "a", "wb", 0)),
        (_form("posix.stat", "a"), _form("posix.stat", "a", follow_symlinks=False)),
        (_form("posix.mkdir", "a"), _form("posix.mkdir", "a", 0o700)),
        (_form("posix.remove", "a"), _form("posix.rmdir", "a")),
    ],
)
def test_other_calls_stay_other_calls(one: Any, other: Any) -> None:
    """Whatever differs in what it does."""
    assert one != other


def test_what_writes_a_log() -> None:
    """What logging libraries write to a file or a standard stream; what they open is something else."""
    assert may_log("_io.TextIOWrapper.write")
    assert not may_log("_io.open")
    assert not may_log("_socket.socket.send")
    assert writes_logs(logging.__file__)
    assert writes_logs("/srv/venv/lib/python3.12/site-packages/loguru/_file_sink.py")
    assert not writes_logs(__file__)
