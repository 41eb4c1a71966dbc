"""What the repository tracks."""

from __future__ import annotations

import re
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


def test_nobody_is_sent_to_an_index_for_loadgen() -> None:
    """It is not on PyPI: a message or a page that says so would install what somebody else put there."""
    by_name = re.compile(r"""pip install (?:-\S+ )*['"]?loadgen(?![\w./-]| @)""")
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "loadgen").rglob("*.py")]
    assert by_name.search("pip install 'loadgen[debug]'")
    assert not by_name.search('pip install "loadgen @ git+https://host/loadgen.git"')
    found = {
        path.name: found[0] for path in texts if (found := by_name.search(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_pages_are_whole() -> None:
    """No empty line divides a table, each link leads to a file and a heading, the index has each page."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    headings = {path: {*map(_anchor, _HEADING.findall(path.read_text(encoding="utf-8")))} for path in pages}
    for path in pages:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        torn = re.findall(r"(?<!\|)\n(\| .*)\n(?!\|[ :-]+\|)", text)
        assert not torn, path.name
        for target, anchor in re.findall(r"\]\((?!\w+://)([^)#]*)#?([^)]*)\)", text):
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), (path.name, target)
            assert not anchor or anchor in headings[file], (path.name, target, anchor)
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in index for path in pages[1:] if path.name != "README.md")


_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
