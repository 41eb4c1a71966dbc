"""Sealed files: damage is told from the fields that an older loadgen did not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadgen.errors import RecordingFault
from loadgen.store import sealed
from loadgen.store.sealed import lacks_only

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "says"), [("{}", "it does not say its format, "), ('{"format": 3}', "its format is '3', ")]
)
def test_a_file_without_a_format_is_damaged(tmp_path: Path, content: str, says: str) -> None:
    """The message says what is missing."""
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(RecordingFault, match=says):
        sealed.read(tmp_path / "a.json", "a/1")


def test_a_file_of_an_older_loadgen_may_lack_fields() -> None:
    """A field that was added since may be missing; anything else that differs is damage."""
    whole = {"a": [{"b": 1, "new": None}], "also": "new"}
    assert lacks_only({"a": [{"b": 1}]}, whole)
    damaged: list[Any] = [{"a": []}, {"a": [{"b": True}]}, {"a": [{"b": 1.0}]}, {"c": 1}, {"a": {"b": 1}}, []]
    assert not any(lacks_only(read, whole) for read in damaged)
