"""What the repository tracks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
ENTRIES = {
    ".ci", ".dockerignore", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "benchmarks", "check", "ci",
    "compose", "docs", "examples", "loadgen", "pyproject.toml", "server_app", "tests",
}  # fmt: skip


def test_the_top_level_has_only_what_belongs_there() -> None:
    """A file that a recorded application wrote into the working directory is not committed by mistake."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no clone of the repository")
    assert {name.partition("/")[0] for name in listed.stdout.split("\0") if name} == ENTRIES
