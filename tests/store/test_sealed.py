"""Sealed files: damage is told from the fields that an older loadgen did not write."""

from __future__ import annotations

from typing import Any

from loadgen.store.sealed import lacks_only


def test_a_file_of_an_older_loadgen_may_lack_fields() -> None:
    """A field that was added since may be missing; anything else that differs is damage."""
    whole = {"a": [{"b": 1, "new": None}], "also": "new"}
    assert lacks_only({"a": [{"b": 1}]}, whole)
    damaged: list[Any] = [{"a": []}, {"a": [{"b": True}]}, {"a": [{"b": 1.0}]}, {"c": 1}, {"a": {"b": 1}}, []]
    assert not any(lacks_only(read, whole) for read in damaged)
