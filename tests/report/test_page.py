"""The page as a file: self-contained, without network, and with the documented parts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from loadgen.core.masking import Masker, parse
from loadgen.core.spec import InvariantSpec, Label
from loadgen.report.evidence import gather
from loadgen.report.page import SCRIPTS, STYLES, render
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

ASSETS = files("loadgen.report").joinpath("assets")


def page(path: Path, sample: Sample) -> str:
    """Return a report."""
    return shown(*make(path, sample))


def shown(run: RunFolder, manifest: Manifest) -> str:
    """Return the report on a run."""
    masker = Masker(parse(()))
    return render(gather(run, manifest, find_verification(run.path), masker), masker, version="0").decode()


def unpacked(text: str) -> Any:
    """Return the data of a page, unpacked as the page does it."""
    data = re.search(r'id="data">([^<]*)<', text)
    assert data is not None
    return json.loads(gzip.decompress(base64.b64decode(data[1])))


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
    """It holds every request."""
    data = unpacked(page(tmp_path / "run", Sample(requests=90)))
    assert len(data["requests"]["target"]) == 90
    assert set(data["words"]) >= {"GET", "POST", "/api/users"}


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


DEAD = (
    '{"format": "loadgen-schedule/1", "strategy": "pct:3", "seed": 1, "points": "lines"}\n'
    '{"ran": 1000001, "step": 1, "at": "app.py:1 f"}\n'
    '{"deadlock": [{"thread": 1000001, "at": "app.py:3 f", "holder": 1000002, "taken": "app.py:4 g"}]}\n'
)
WAITS = "request 1 at app.py:3 waits for a lock that request 2 took at app.py:4"


@pytest.mark.parametrize(
    ("race", "sample"),
    [
        ({}, Sample()),
        ({"race": {"message": f"deadlock: {WAITS}", "story": [WAITS]}}, Sample()),
        (
            {"race": {"message": f"deadlock: {WAITS}", "story": [f"it was stopped: deadlock: {WAITS}"]}},
            Sample(),
        ),
        ({}, Sample(verified=False)),
    ],
)
def test_what_broke_is_the_headline(tmp_path: Path, race: dict[str, Any], sample: Sample) -> None:
    """A deadlock that replays identically is no good news; it is told once."""
    text = page(tmp_path / "run", replace(sample, requests=4, schedule=DEAD, race=race))
    assert "</span>Broken</h1>" in text
    assert f"Deadlock: {WAITS}. " in text
    assert ("The replay is identical. " in text) is sample.verified
    data = unpacked(text)
    assert data["story"]["tone"] == "failed"
    assert WAITS not in str(data["schedule"]["story"]) + str(data["story"]["reasons"])


def test_a_replay_that_diverged_of_what_broke_says_both(tmp_path: Path) -> None:
    """Neither hides the other."""
    text = page(tmp_path / "run", Sample(requests=4, diverge=(2,), schedule=DEAD))
    assert "</span>Broken, diverged</h1>" in text


def test_an_invariant_that_does_not_hold_is_the_headline(tmp_path: Path) -> None:
    """Also of a run whose schedule was not explored."""
    bodies = dict.fromkeys((2, 3), (b'{"id": 7}', b'{"id": 7}'))
    run, manifest = make(tmp_path / "run", Sample(bodies=bodies))
    manifest.spec = structs.replace(manifest.spec, invariants=InvariantSpec(unique=("json:$.id",)))
    text = shown(run, manifest)
    assert "</span>Broken</h1>" in text


def test_name_and_note_are_on_the_page(tmp_path: Path) -> None:
    """As the help of record says."""
    run, manifest = make(tmp_path / "run", Sample())
    manifest.spec = structs.replace(
        manifest.spec, label=Label(name="my run", note="a <note>", tags=("smoke",))
    )
    text = shown(run, manifest)
    assert "my run · run run · " in text
    told = unpacked(text)["run"]
    assert (told["name"], told["note"], told["tags"]) == ("my run", "a <note>", "smoke")
