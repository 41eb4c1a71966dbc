"""A suite's results: each run has its row in every form, and no form loses one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadgen.cli import console, show_suite
from loadgen.core.masking import Masker, parse
from loadgen.core.verdict import Judgement, Reason
from loadgen.report.evidence import learn
from loadgen.report.suite import headline, to_html, to_junit, to_markdown, told
from loadgen.store.run_folder import RunFolder
from loadgen.store.runs import FoundRun, find_runs
from loadgen.store.verification import find_verification
from loadgen.suite import RecordedRow, SuiteRow, judged
from loadgen.verify import Verified
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.report.suite import RowTold

SECRET = "s3cr3t-t0ken"


def row(found: FoundRun) -> SuiteRow:
    verification = find_verification(found.path)
    if verification is None or verification.verdict is None:
        return SuiteRow(found, problem=Reason("recording", "<its> tape is & damaged", "Record again."))
    return SuiteRow(found, Verified(verification.verdict, verification.path))


@pytest.fixture
def rows(tmp_path: Path) -> list[SuiteRow]:
    make(tmp_path / "one", Sample())
    make(tmp_path / "two", Sample(diverge=(30,), headers=(("Authorization", f"Bearer {SECRET}"),)))
    make(tmp_path / "three", Sample(doubt="the replay died"))
    (tmp_path / "foreign").mkdir()
    return [row(found) for found in find_runs([tmp_path])]


@pytest.fixture
def lines(rows: list[SuiteRow]) -> list[RowTold]:
    found = []
    for one in rows:
        masker = Masker(parse(()))
        if one.verified:
            verification = find_verification(one.run.path)
            assert verification is not None
            learn(RunFolder(one.run.path), verification, masker)
        found.append(told(one, masker))
    return found


def test_the_worst_run_is_the_verdict(rows: list[SuiteRow]) -> None:
    """A divergence outweighs what is undetermined, and that outweighs what is identical."""
    assert [one.judgement.value for one in rows] == ["undetermined", "identical", "undetermined", "diverged"]
    assert judged(rows) is Judgement.DIVERGED
    assert judged(rows[:3]) is Judgement.UNDETERMINED
    assert judged(rows[1:2]) is Judgement.IDENTICAL


def test_junit_has_a_test_for_each_run_and_cause(lines: list[RowTold]) -> None:
    """Identical passes, diverged fails, undetermined is an error; each cause is a failed test of its own."""
    suite = ET.fromstring(to_junit(lines, "recordings"))[0]
    cases = {case.get("name"): [one.tag for one in case] for case in suite.iter("testcase")}
    causes = [case for case in suite if case.get("classname") == "loadgen.causes"]
    assert (cases["one"], cases["two"], cases["three"], cases["foreign"]) == (
        [],
        ["failure"],
        ["error"],
        ["error"],
    )
    assert len(causes) == 1
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "2")


def test_every_form_has_every_run(lines: list[RowTold]) -> None:
    """The reader of a table, a job page or the index sees each run, with its verdict and no secret."""
    page = to_html(lines, {"two": "two/report.html"}, "recordings", "loadgen verify", version="0").decode()
    for form in (to_markdown(lines, "loadgen verify recordings"), page, show_suite.suite(lines)):
        assert all(one.label in form for one in lines)
        assert "diverged" in form
        assert headline(lines) in form
        assert SECRET not in form
    assert headline(lines) == "4 runs: 1 identical, 1 diverged, 2 undetermined."
    assert 'href="two/report.html"' in page
    assert "&lt;its&gt; tape is &amp; damaged" in page


def test_a_reason_of_many_lines_is_shortened(rows: list[SuiteRow]) -> None:
    """A table of runs shows the first and the last line of a traceback, not its lines run together."""
    problem = Reason("server", "it crashed: exit code 1\n  Traceback\n    File x\n  KeyError: 'KEY'")
    lost = told(SuiteRow(rows[0].run, problem=problem), Masker(parse(())))
    assert "it crashed: exit code 1 … KeyError: 'KEY'\n" in show_suite.suite([lost])
    shown = show_suite.recorded([RecordedRow("shop", problem=problem)])
    assert "it crashed: exit code 1 … KeyError: 'KEY'" in shown


def test_names_of_runs_can_be_copied(tmp_path: Path) -> None:
    """The name of a run is on one line, however much else there is."""
    name = "20261127-042629-gateway-of-a-run-with-a-long-name"
    make(tmp_path / name, Sample())
    found = [(one, 1 << 20, find_verification(one.path)) for one in find_runs([tmp_path])]
    assert name in show_suite.runs(found)


def test_the_list_of_runs(tmp_path: Path) -> None:
    """It shows the latest verdict of each run, and names what is damaged."""
    make(tmp_path / "fresh", Sample(verified=False))
    make(tmp_path / "two", Sample(diverge=(30,)))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    found = [
        (one, 2048, find_verification(one.path) if one.manifest else None) for one in find_runs([tmp_path])
    ]
    shown = {line.split()[0]: line for line in show_suite.runs(found).splitlines()}
    assert "never verified" in shown["fresh"]
    assert "diverged" in shown["two"]
    assert "2 KiB" in shown["two"]
    listed = show_suite.runs(found)
    assert "damaged" in listed
    assert "not a run" in listed


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_a_narrow_terminal_has_fewer_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """In place of columns of one letter a line; the run and its verdict are always there."""
    monkeypatch.setattr(console, "PIPED", width)
    make(tmp_path / "20261128-143246-c8-s1", Sample())
    shown = show_suite.runs([(one, 1, find_verification(one.path)) for one in find_runs([tmp_path])])
    lines = shown.splitlines()
    assert len(lines) <= 4  # letters one below the other are many
    assert max(map(len, lines)) <= width
    assert "verdict" in lines[0]
    assert ("size" in lines[0]) is (width == 120)
