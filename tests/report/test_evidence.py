"""The evidence of a report: everything that can be read, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.masking import Masker, parse
from loadgen.errors import UsageError
from loadgen.report.evidence import Evidence, gather
from loadgen.report.page import model, render
from loadgen.report.story import tell
from loadgen.store.verification import find_verification
from tests.report.sample import Sample, make
from tests.resealing import reseal

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, sample: Sample) -> tuple[Evidence, Masker]:
    """Make a run and gather what a report shows of it."""
    run, manifest = make(path, sample)
    masker = Masker(parse(()))
    return gather(run, manifest, find_verification(run.path), masker), masker


def shown(path: Path, sample: Sample) -> dict[str, Any]:
    """Return the page's data."""
    evidence, masker = read(path, sample)
    story = tell(evidence.manifest, evidence.verification, len(evidence.recorded.sent), masker)
    assert render(evidence, masker, version="0").startswith(b"<!doctype html>")
    return model(evidence, story, masker, version="0")


def test_every_request_has_its_place_in_every_column(tmp_path: Path) -> None:
    """Columns are as long as the run, and every number in them is an entry of its table."""
    data = shown(tmp_path / "run", Sample(requests=120, diverge=(50,), fail=(60,)))
    lengths = {len(column) for column in data["requests"].values()}
    lengths |= {
        len(side[name]) for side in data["sides"] for name in ("sent", "done", "status", "body", "enter")
    }
    assert lengths == {120}
    for side in data["sides"]:
        assert max(side["body"]) < len(data["bodies"])
        assert max(side["headers"]) < len(data["header_lists"])
        assert sorted(side["enter"] + side["leave"]) == list(range(240))


@pytest.mark.slow
def test_what_differs_is_what_the_verdict_says(tmp_path: Path) -> None:
    """Also when the verdict keeps the details of some only."""
    assert shown(tmp_path / "few", Sample(diverge=(7, 30)))["differ"] == [7, 30]
    many = tuple(range(1, 1051))
    data = shown(tmp_path / "many", Sample(requests=1060, diverge=many))
    assert len(data["divergences"]) == 1000
    assert data["differ"] == list(many)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.999])
def test_cut_transcript_is_shown_as_far_as_it_goes(tmp_path: Path, share: float) -> None:
    """At any byte, with a notice."""
    run, manifest = make(tmp_path / "run", Sample())
    content = run.transcript.read_bytes()
    run.transcript.write_bytes(content[: int(len(content) * share)])
    evidence = gather(run, manifest, find_verification(run.path), Masker(parse(())))
    assert evidence.notices
    assert render(evidence, Masker(parse(())), version="0")


@pytest.mark.parametrize(
    "damage", [b"{}\n", b"[]\n", b"nonsense\n", b'{"event":"request","seq":99}\n', b"\xff\xfe\n"]
)
def test_damaged_transcript_is_told_not_thrown(tmp_path: Path, damage: bytes) -> None:
    """What comes before the damage is shown, and the damage is a notice that names the line."""
    run, manifest = make(tmp_path / "run", Sample())
    lines = run.transcript.read_bytes().splitlines(keepends=True)
    run.transcript.write_bytes(b"".join((*lines[:9], damage, *lines[9:])))
    evidence = gather(run, manifest, find_verification(run.path), Masker(parse(())))
    assert "line 10" in evidence.notices[0]
    assert 0 < len(evidence.recorded.sent) < 60


@pytest.mark.parametrize(
    "change",
    [
        {"format": "loadgen-verdict/9"}, {"diverged": "many"}, {"reasons": {}}, {"reasons": ["no"]},
        {"rules": None}, {"server_order": []}, {"server_order": {"same": "yes"}},
        {"seconds": {"replay": "long"}}, {"divergences": 3},
    ],
)  # fmt: skip
def test_damaged_verdict_is_no_verdict(tmp_path: Path, change: dict[str, Any]) -> None:
    """A verdict.json that is not what the format says is undetermined, never identical, and never a crash."""
    run, manifest = make(tmp_path / "run", Sample())
    file = run.path / "verify" / "1" / "verdict.json"
    reseal(file, **change)
    found = find_verification(run.path)
    assert found is not None
    assert found.verdict is None
    assert tell(manifest, found, 60, Masker(parse(()))).tone == "undetermined"


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"NaN", b"[" * 90_000, b"\xff"])
def test_unreadable_verdict_is_no_verdict(tmp_path: Path, content: bytes) -> None:
    """Whatever bytes are there."""
    run, _ = make(tmp_path / "run", Sample())
    (run.path / "verify" / "1" / "verdict.json").write_bytes(content)
    found = find_verification(run.path)
    assert found is not None
    assert found.verdict is None
    assert found.problem


def test_latest_verification_is_the_default(tmp_path: Path) -> None:
    """By number, not by name: the tenth comes after the ninth; one that is not there is a usage error."""
    run, _ = make(tmp_path / "run", Sample())
    for number in (2, 9, 10):
        (run.path / "verify" / str(number)).mkdir()
    latest, first = find_verification(run.path), find_verification(run.path, 1)
    assert latest is not None
    assert first is not None
    assert (latest.number, first.number, latest.of) == (10, 1, 4)
    with pytest.raises(UsageError, match="no verification 3"):
        find_verification(run.path, 3)


def test_long_bodies_are_cut_around_what_differs(tmp_path: Path) -> None:
    """A difference far into a large body is in what is shown of it, and how much is left out is said."""
    before = b"a" * 400_000 + b"left" + b"z" * 100_000
    after = b"a" * 400_000 + b"right" + b"z" * 100_000
    data = shown(tmp_path / "run", Sample(requests=6, users=1, bodies={3: (before, after)}))
    parts = [data["bodies"][side["body"][2]] for side in data["sides"]]
    assert ["left" in part["text"] for part in parts] == [True, False]
    assert ["right" in part["text"] for part in parts] == [False, True]
    assert [part["size"] for part in parts] == [500_004, 500_005]
    assert all(part["shown"] < 70_000 for part in parts)


def test_what_failed_in_the_scenario_and_how_late_requests_were_is_shown(tmp_path: Path) -> None:
    """Failed iterations are told above, and latency from when requests were due beside what was measured."""
    data = shown(tmp_path / "run", Sample(broken="no posts"))
    (notice,) = data["notices"]
    assert notice == "Failed in the scenario, 1 iteration: read: AssertionError: no posts (a.py, line 7)"
    measured, corrected = data["figures"]["percentiles"][0], data["figures"]["corrected"]
    assert corrected["max"] >= 500 > measured["max"]
    assert corrected["p95"] < 500, "the others were sent when they were due"
    assert shown(tmp_path / "other", Sample())["figures"]["corrected"] == {}


def test_the_recording_is_read_once_if_it_has_no_invariants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run is in the report only once, and never in memory as a whole."""

    def twice(*_: object) -> None:
        raise AssertionError("the whole history was read")

    monkeypatch.setattr("loadgen.check.operations", twice)
    assert read(tmp_path / "run", Sample())[0].broken == []
