"""Relocation: recorded paths, where they are now."""

from __future__ import annotations

import pytest

from loadgen.core.relocation import IN_PLACE, Relocation


@pytest.mark.parametrize(
    ("path", "here"),
    [
        ("/a/shop", "/b"),
        ("/a/shop/serve.py", "/b/serve.py"),
        ("/a/shop/.venv/lib/x.py", "/venv/lib/x.py"),  # the innermost folder counts
        ("/a/shopping/serve.py", "/a/shopping/serve.py"),  # a name that only begins alike
        ("/a", "/a"),
        ("/usr/share/x", "/usr/share/x"),
        ("serve.py", "serve.py"),
    ],
)
def test_recorded_paths_are_found(path: str, here: str) -> None:
    """A path in a recorded folder is in the one of now; every other path is what it was."""
    moved = Relocation((("/a/shop", "/b"), ("/a/shop/.venv", "/venv")))
    assert moved.here(path) == here
    assert IN_PLACE.here(path) == path


def test_a_path_of_now_stays() -> None:
    """A checkout inside the recorded one: what is in there already is not moved once more."""
    moved = Relocation((("/shop", "/shop/copies/b"),))
    assert moved.here("/shop/serve.py") == "/shop/copies/b/serve.py"
    assert moved.here("/shop/copies/b/serve.py") == "/shop/copies/b/serve.py"


def test_folders_that_changed_places() -> None:
    """Two checkouts whose names were exchanged: each recorded path is in the other one."""
    moved = Relocation((("/a", "/b"), ("/b", "/a")))
    assert (moved.here("/a/x"), moved.here("/b/x")) == ("/b/x", "/a/x")
