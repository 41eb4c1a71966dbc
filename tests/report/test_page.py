"""The page as a file: self-contained, without network, and with the documented parts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from loadgen.core.masking import Masker, parse
from loadgen.report.evidence import gather
from loadgen.report.page import SCRIPTS, STYLES, render
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

ASSETS = files("loadgen.report").joinpath("assets")


def page(path: Path, sample: Sample) -> str:
    """Return a report."""
    run, manifest = make(path, sample)
    masker = Masker(parse(()))
    return render(gather(run, manifest, find_verification(run.path), masker), masker, version="0").decode()


@pytest.mark.parametrize("name", SCRIPTS + STYLES)
def test_asset_cannot_end_the_element_that_holds_it(name: str) -> None:
    """Inlined text that closes its element, or opens a comment, would become markup."""
    text = ASSETS.joinpath(name).read_text(encoding="utf-8").lower()
    assert not re.search(r"</(script|style)|<!--|\r", text)


def test_vendored_files_are_the_ones_that_are_named() -> None:
    """The table beside them gives their digests."""
    table = ASSETS.joinpath("vendor", "README.md").read_text(encoding="utf-8")
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        digest = sha256(ASSETS.joinpath("vendor", name).read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(name)}`.*`{digest}`", table), name
    assert ASSETS.joinpath("vendor", "uPlot.LICENSE").is_file()


def test_policy_names_what_is_inlined_and_nothing_else(tmp_path: Path) -> None:
    """The hashes are those of the style and the script; nothing may be loaded from anywhere."""
    text = page(tmp_path / "run", Sample())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        content = re.search(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(sha256(content[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)


def test_data_is_what_was_recorded(tmp_path: Path) -> None:
    """Unpacked as the page does, it holds every request."""
    text = page(tmp_path / "run", Sample(requests=90))
    data = re.search(r'id="data">([^<]*)<', text)
    assert data is not None
    unpacked = json.loads(gzip.decompress(base64.b64decode(data[1])))
    assert len(unpacked["requests"]["target"]) == 90
    assert set(unpacked["words"]) >= {"GET", "POST", "/api/users"}


def test_same_run_same_page(tmp_path: Path) -> None:
    """It depends on the run folder alone: no clock, no order of chance."""
    run, manifest = make(tmp_path / "run", Sample(diverge=(9,)))
    pages = []
    for _ in range(2):
        masker = Masker(parse(()))
        pages.append(render(gather(run, manifest, find_verification(run.path), masker), masker, version="0"))
    assert pages[0] == pages[1]


def test_headline_can_be_read_without_a_program(tmp_path: Path) -> None:
    """The verdict is in the markup, escaped."""
    bodies = {3: (b'{"a":"x"}', b'{"a":"<b>&</b>"}')}
    text = page(tmp_path / "run", Sample(bodies=bodies))
    assert "</span>Diverged</h1>" in text
    assert "is &quot;&lt;b&gt;&amp;&lt;/b&gt;&quot;." in text
