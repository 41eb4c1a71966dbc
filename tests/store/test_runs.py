"""The runs of a folder: every folder in the place of a run is listed, and damage is a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.spec import Label, Load, RunSpec
from loadgen.errors import RecordingFault, UsageError
from loadgen.store.files import exchange
from loadgen.store.manifest import Manifest, State
from loadgen.store.run_folder import RunFolder
from loadgen.store.runs import find_runs, incomplete_since, read_run, size

if TYPE_CHECKING:
    from pathlib import Path


def make(path: Path, name: str = "") -> Path:
    path.mkdir(parents=True)
    spec = RunSpec(load=Load(concurrency=1, iterations=1), label=Label(name=name))
    RunFolder(path).save(Manifest(id=path.name, created="2026-01-01T00:00:00+00:00", spec=spec))
    return path


def test_a_folder_of_runs(tmp_path: Path) -> None:
    """Runs are found in their folder and below it, in order; links, hidden and other folders are not runs."""
    for name in ("b", "a", "deep/er/c"):
        make(tmp_path / name)
    (tmp_path / "latest").symlink_to("a")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a" / "verify" / "1").mkdir(parents=True)
    (tmp_path / "index.html").touch()
    found = find_runs([tmp_path])
    assert [one.label for one in found] == ["a", "b", "deep/er/c"]
    assert all(one.manifest is not None and one.problem is None for one in found)


def test_a_link_to_a_run_that_is_given_too(tmp_path: Path) -> None:
    """All that is in a folder of runs may be given: the link to the latest run adds none."""
    run = make(tmp_path / "a")
    (tmp_path / "latest").symlink_to("a")
    assert [one.path for one in find_runs([run, tmp_path / "latest"])] == [run]
    assert [one.path for one in find_runs([tmp_path / "latest"])] == [tmp_path / "latest"]


def test_damaged_and_foreign_folders_are_listed(tmp_path: Path) -> None:
    """What is no run, or cannot be read, has a row with the reason."""
    make(tmp_path / "good")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "run.json").write_text('{"format": "loadgen-run/1"}')
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "run.json").mkdir()
    found = {one.label: one for one in find_runs([tmp_path])}
    assert set(found) == {"good", "foreign", "older", "torn", "a folder"}
    assert found.pop("good").problem is None
    assert all(one.manifest is None and one.problem is not None for one in found.values())
    assert isinstance(found["foreign"].problem, RecordingFault)


def test_a_named_folder_without_a_run_is_listed(tmp_path: Path) -> None:
    """Beside folders with runs it has a row with the reason: a suite cannot become identical by losing it."""
    make(tmp_path / "one" / "runs" / "a")
    (tmp_path / "two" / "deep").mkdir(parents=True)
    one, two = find_runs([tmp_path / "one", tmp_path / "two"])
    assert one.problem is None
    assert two.label == "two"
    assert two.problem is not None
    assert f"there is no run in {tmp_path / 'two'}" in two.problem.message


def test_an_incomplete_run_after_the_latest_is_found(tmp_path: Path) -> None:
    """The latest run is the last complete one: whoever verifies it learns that a later recording failed."""

    def made(name: str, minute: int, state: State) -> Path:
        path = make(tmp_path / name)
        manifest = read_run(path, "").manifest
        assert manifest is not None
        manifest.created = f"2026-01-01T00:{minute:02}:00+00:00"
        manifest.result.state = state
        RunFolder(path).save(manifest)
        return path

    latest = made("a", 2, State.COMPLETE)
    made("earlier", 1, State.FAILED)
    made("later", 3, State.COMPLETE)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    assert incomplete_since(latest) is None
    made("z", 4, State.FAILED)
    last = made("b", 5, State.RECORDING)
    assert incomplete_since(latest) == last


def test_names_are_labels_and_labels_are_unique(tmp_path: Path) -> None:
    """A run is called by its name; two of the same name, or of the same folder name, by their paths."""
    one, two = make(tmp_path / "x" / "run", "shop"), make(tmp_path / "y" / "run", "shop")
    third = make(tmp_path / "z" / "run", "other")
    assert [found.label for found in find_runs([one, two, third])] == [str(one), str(two), "other"]


def test_no_run_at_all(tmp_path: Path) -> None:
    """An empty suite is an error of usage, not a success; so is a folder that is not there."""
    (tmp_path / "foreign").mkdir()
    with pytest.raises(UsageError, match="no run in"):
        find_runs([tmp_path])
    with pytest.raises(UsageError, match="no folder"):
        find_runs([tmp_path / "absent"])


def test_the_size_is_that_of_the_recording(tmp_path: Path) -> None:
    """Verifications do not count."""
    run = make(tmp_path / "run")
    before = size(run)
    (run / "verify" / "1").mkdir(parents=True)
    (run / "verify" / "1" / "transcript.jsonl").write_bytes(b"x" * 1000)
    assert size(run) == before
    (run / "recording.bin").write_bytes(b"x" * 1000)
    assert size(run) == before + 1000


@pytest.mark.parametrize("label", [{"name": "two\nlines"}, {"name": " x"}, {"tags": ("two words",)}])
def test_labels_are_one_line(label: dict[str, object]) -> None:
    """What is shown in tables, and chosen by -k and -m, is one line, and a tag one word."""
    with pytest.raises(UsageError):
        Label(**label)  # type: ignore[arg-type]


def test_folders_exchange_their_names(tmp_path: Path) -> None:
    """In one step, with all that is in them; where one is not there, nothing happens."""
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.mkdir()
        (path / path.name).touch()
    exchange(one, other)
    assert ([path.name for path in one.iterdir()], [path.name for path in other.iterdir()]) == (
        ["other"],
        ["one"],
    )
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "absent")
    assert (one / "other").is_file()
