"""The pytest plug-in: which items there are, how they are chosen, and what a failure says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadgen.core.spec import Label
from loadgen.store.run_folder import RunFolder
from tests.report.sample import Sample, make

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow  # each test runs pytest
PLUGIN = ("-p", "no:loadgen", "-p", "loadgen.pytest_plugin", "-p", "no:cacheprovider", "-W", "error")
"""As the entry point loads it, whether or not it is installed here."""


@pytest.fixture
def pytests(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    def run(*words: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(*PLUGIN, *words)

    return run


def labelled(path: Path, name: str, *tags: str) -> None:
    """Make a run that cannot be replayed: its tape is not one."""
    run, manifest = make(path, Sample())
    manifest.spec = replace(manifest.spec, label=Label(name=name, tags=tags))
    run.save(manifest)


@pytest.fixture
def recordings(pytester: pytest.Pytester) -> Path:
    folder = pytester.path / "recordings"
    labelled(folder / "one", "checkout, card", "smoke", "slow-one")
    labelled(folder / "build" / "two", "search")  # pytest itself enters no folder of that name
    (folder / "torn").mkdir()
    (folder / "torn" / "run.json").write_text("{")
    pytester.makepyfile("def test_own(): pass")
    return folder


def test_the_entry_point_is_declared() -> None:
    """Whoever installs loadgen has the plug-in."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"loadgen": "loadgen.pytest_plugin"}


def test_each_run_is_an_item(recordings: Path, pytests: Callable[..., pytest.RunResult]) -> None:
    """By its name, once, in the folder and below it; without the option there is none."""
    listed = pytests("--loadgen", "recordings", "--collect-only", "-q", "--strict-markers").stdout
    listed.fnmatch_lines(
        [
            "test_each_run_is_an_item.py::test_own",
            "recordings/build/two/run.json::search",
            "recordings/one/run.json::checkout, card",
            "recordings/torn/run.json::torn",
        ],
    )
    pytests("--collect-only", "-q").stdout.no_fnmatch_line("*run.json*")
    once = pytests("--collect-only", "-q", "--loadgen", "recordings", ".", "recordings/one").stdout.str()
    assert once.count("checkout, card") == 1


def test_a_run_without_its_manifest(recordings: Path, pytests: Callable[..., pytest.RunResult]) -> None:
    """It is not skipped: an item says that it is not a run."""
    (recordings / "one" / "run.json").unlink()
    result = pytests("--loadgen", "recordings", "-k", "one")
    result.assert_outcomes(failed=1, deselected=3)
    assert "it has no run.json" in result.stdout.str()


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (("-k", "search"), ["search"]),
        (("-k", "smoke"), ["checkout, card"]),
        (("-m", "smoke"), ["checkout, card"]),
        (("-m", "slow-one"), ["checkout, card"]),
        (("-m", "loadgen and not smoke"), ["search", "torn"]),
    ],
)
def test_names_and_tags_choose(
    recordings: Path, pytests: Callable[..., pytest.RunResult], words: tuple[str, ...], chosen: list[str]
) -> None:
    """``-k`` knows name and tags, ``-m`` the tags."""
    listed = pytests("--loadgen", "recordings", "--collect-only", "-q", *words).stdout.lines
    assert [line.partition("::")[2] for line in listed if "::" in line] == chosen


def test_what_cannot_be_judged_fails_with_the_reason(
    recordings: Path, pytests: Callable[..., pytest.RunResult]
) -> None:
    """It is neither passed nor skipped; there is no traceback of loadgen, and the report is linked."""
    result = pytests("--loadgen", "recordings", "-o", "junit_family=xunit1", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=3)
    said = result.stdout.str()
    assert "UNDETERMINED  The recording: the recording was made with a different engine" in said
    assert "report: " in said
    assert "again: loadgen verify" in said
    assert "Traceback" not in said
    assert "torn/run.json cannot be read" in said
    assert RunFolder(recordings / "one").path.joinpath("report.html").is_file()


def test_a_folder_that_is_not_there(pytests: Callable[..., pytest.RunResult]) -> None:
    """A mistyped folder is an error of usage: nothing else would tell that no recording was verified."""
    result = pytests("--loadgen", "nosuch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--loadgen: there is no folder *nosuch*"])
