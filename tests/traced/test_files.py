"""Which files are on the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from retracesoftware.install import pathpredicate

from loadgen.traced import settings
from loadgen.traced.gaps import files
from loadgen.traced.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("given", ["here", "link"])
def test_what_the_application_has_is_on_the_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Its folder is, and what is in it, by the name that the application has of it."""
    for name in ("here", "working", "here too"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "working")
    monkeypatch.setattr(pathpredicate, "load_patterns", lambda extra=None: [])
    monkeypatch.setattr(settings, "CURRENT", Settings(application=str(tmp_path / given)))
    files.take_the_applications_files_from_the_tape()
    on_the_tape = pathpredicate.make_pathpredicate(pathpredicate.load_patterns(), ignore_globs=())
    recorded = ("here", "here/a", f"{given}/a", given, "working", "working/a/b")
    live = ("", "here too", "here too/a", "elsewhere", "workings")
    assert [name for name in (*recorded, *live) if on_the_tape(str(tmp_path / name))] == [*recorded]
    assert on_the_tape(".")
    assert on_the_tape("a")
