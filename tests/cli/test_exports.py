"""``loadgen report`` and ``loadgen export``: paths on stdout, exit codes, and no traceback for any input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from loadgen.cli.main import main
from tests.report.sample import Sample, make
from tests.resealing import reseal

if TYPE_CHECKING:
    from pathlib import Path


Result = subprocess.CompletedProcess[str]
Shell = Callable[..., Result]


@pytest.fixture
def loadgen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run the command line in this process, in a folder."""

    def run(*arguments: str | Path, cwd: Path) -> Result:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["loadgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return subprocess.CompletedProcess(arguments, left.value.code, said.out, said.err)

    return run


def test_report_prints_where_it_is(loadgen: Shell, tmp_path: Path) -> None:
    """By default in the run folder; elsewhere if asked."""
    make(tmp_path / "run", Sample())
    done = loadgen("report", "run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "run/report.html\n")
    assert (tmp_path / "run" / "report.html").read_bytes().startswith(b"<!doctype html>")
    done = loadgen("report", "run", "--output", "else.html", "--verification", "1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "else.html\n")


def test_export_writes_all_that_is_asked_for(loadgen: Shell, tmp_path: Path) -> None:
    """Each file, each path on its line."""
    make(tmp_path / "run", Sample())
    wanted = ("--har", "a.har", "--bundle", "a.tar.gz", "--junit", "a.xml", "--summary", "a.md")
    done = loadgen("export", "run", *wanted, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["a.har", "a.tar.gz", "a.xml", "a.md"]
    assert all((tmp_path / name).stat().st_size for name in done.stdout.split())


@pytest.mark.parametrize("option", ["--junit", "--summary", "--html"])
@pytest.mark.parametrize("file", ["no/such/folder/file", "run"])
def test_a_file_that_cannot_be_written_is_refused_before_a_replay(
    loadgen: Shell, tmp_path: Path, option: str, file: str
) -> None:
    """The verdict of a replay is never lost to it."""
    run, _ = make(tmp_path / "run", Sample(verified=False))
    done = loadgen("verify", "run", option, file, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot write {file}" in done.stderr
    assert not (run.path / "verify").exists()


def test_a_search_is_not_begun_with_a_wrong_time(loadgen: Shell, tmp_path: Path) -> None:
    """shrink leaves no folder behind."""
    make(tmp_path / "run", Sample(diverge=(3,)))
    done = loadgen("shrink", "run", "--time-budget", "soon", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "--time-budget" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_masked_bundle_is_said_on_stderr(loadgen: Shell, tmp_path: Path) -> None:
    """It says what was masked, the consequence, and the alternative."""
    make(tmp_path / "run", Sample(headers=(("Cookie", "a=b"),)))
    done = loadgen("export", "run", "--bundle", "a.tar.gz", cwd=tmp_path)
    assert done.returncode == 0
    assert "header:cookie (60)" in done.stderr
    assert "--keep-secrets" in done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of every kind that a command may be given."""
    folder = tmp_path_factory.mktemp("runs")
    make(folder / "run", Sample())
    make(folder / "fresh", Sample(verified=False))
    make(folder / "failed", Sample(verified=False, cut=True))
    for name, content in (("broken", "[" * 90_000), ("typed", None)):
        run, _ = make(folder / name, Sample())
        manifest = run.path / "run.json"
        if content:
            manifest.write_text(content)
        else:
            reseal(manifest, result=3)
    return folder


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("report", "nowhere"), 2),
        (("report", "run", "--verification", "7"), 2),
        (("report", "run", "--mask", "nonsense"), 2),
        (("report", "run", "--output", "no/such/folder/a.html"), 2),
        (("report", "run", "--output", "."), 2),
        (("export", "run"), 2),
        (("export", "run", "--har", "run"), 2),
        (("export", "run", "--summary", "run"), 2),
        (("export", "fresh", "--junit", "a.xml"), 2),
        (("export", "failed", "--bundle", "a.tar.gz"), 3),
        (("report", "broken"), 3),
        (("report", "typed"), 3),
        (("report", "failed"), 0),
        (("report", "fresh"), 0),
    ],
)
def test_bad_input_never_gives_a_traceback(
    loadgen: Shell, runs: Path, arguments: tuple[str, ...], code: int
) -> None:
    """Wrong usage is 2, a failure is 3, and everything that can be shown is shown."""
    done = loadgen(*arguments, cwd=runs)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(runs.rglob("*.part"))
