"""The run folder: never overwritten, never claims more than it contains, and damage is named."""

from __future__ import annotations

import json
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.spec import Load, RunSpec
from loadgen.core.transcript import FORMAT as TRANSCRIPT_FORMAT
from loadgen.errors import RecordingFault, TranscriptFault, UsageError
from loadgen.store.files import digest, write_json
from loadgen.store.manifest import FORMAT, Manifest, Result, State, Totals
from loadgen.store.run_folder import RunFolder, read_transcript
from tests.resealing import reseal

if TYPE_CHECKING:
    from pathlib import Path

TOTALS = Totals(
    requests=3, failures=0, seconds=0.5, statuses={200: 3}, p50_ms=1.0, p99_ms=2.0, iterations=1,
    failed_iterations=0,
)  # fmt: skip


def manifest(**changes: Any) -> Manifest:
    """Return a manifest with *changes*."""
    spec = RunSpec(load=Load(concurrency=2, iterations=3))
    return Manifest(**{"id": "r", "created": "now", "spec": spec, **changes})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the working directory, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[RunFolder, Manifest]:
    """Give a complete run."""
    run = RunFolder.create(tmp_path / "run", "")
    run.recording.write_bytes(b"tape")
    run.transcript.write_bytes(b"transcript")
    complete = manifest(result=Result(state=State.COMPLETE, files=run.digests()))
    run.save(complete)
    return run, complete


# ---- create ----------------------------------------------------------------------------------------------


def test_runs_are_named_and_numbered(here: Path) -> None:
    """A new run gets the wanted name, or the next free one: an existing run is never touched."""
    made = [RunFolder.create(None, "r").path for _ in range(3)]
    assert [str(path) for path in made] == ["runs/r", "runs/r-2", "runs/r-3"]
    assert all(path.is_dir() for path in made)


@pytest.mark.parametrize("exists", [False, True])
def test_a_named_folder_is_made(tmp_path: Path, *, exists: bool) -> None:
    """A folder that the user names is made with its parents, or taken if it is empty."""
    wanted = tmp_path / "a" / "b"
    if exists:
        wanted.mkdir(parents=True)
    assert RunFolder.create(wanted, "ignored").path == wanted
    assert wanted.is_dir()


def test_one_of_many_gets_a_folder(tmp_path: Path) -> None:
    """Recordings that are given one folder at the same time do not share it."""
    start = threading.Barrier(8)

    def create(_: int) -> bool:
        start.wait()
        try:
            RunFolder.create(tmp_path / "run", "name")
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """What is in a folder is kept: it is refused, and nothing in it changes."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not empty") as caught:
        RunFolder.create(tmp_path, "r")
    assert "give another folder" in caught.value.advice
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("wanted", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, wanted: str) -> None:
    """Where there can be no folder, the user is told so."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot create the run folder"):
        RunFolder.create(tmp_path / wanted, "r")


def test_runs_that_is_a_file_is_refused(here: Path) -> None:
    """A file called ``runs`` is no place for runs."""
    (here / "runs").write_text("x")
    with pytest.raises(UsageError, match="cannot create the run folder") as caught:
        RunFolder.create(None, "r")
    assert str(here / "runs") in caught.value.message
    assert "Errno" not in caught.value.message


# ---- latest ----------------------------------------------------------------------------------------------


def test_latest_points_to_the_newest(here: Path) -> None:
    """``runs/latest`` is a relative link to the newest run, moved at once, with nothing left behind."""
    for name in ("one", "two"):
        run = RunFolder.create(None, name)
        run.save(manifest(id=name))
        run.make_latest()
        opened, found = RunFolder.open(None)
        assert (opened.path, found.id) == (run.path.resolve(), name)
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["latest", "one", "two"]
    assert str((here / "runs" / "latest").readlink()) == "two"


# ---- open ------------------------------------------------------------------------------------------------


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    """A manifest is read back equal, text and all, and no temporary file stays."""
    run = RunFolder.create(tmp_path / "run", "")
    result = Result(state=State.FAILED, totals=TOTALS, files={"a": "b"}, error="why")
    saved = manifest(spec=RunSpec(target=("naïve ☃",)), result=result)
    run.save(manifest())
    run.save(saved)
    opened, found = RunFolder.open(run.path)
    assert found == saved
    assert opened.path == run.path
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("what", ["missing", "empty folder", "file"])
def test_no_run_folder_is_a_usage_error(tmp_path: Path, what: str) -> None:
    """A path that is not a run folder is reported as the user's mistake, with advice."""
    path = tmp_path / "x"
    if what == "empty folder":
        path.mkdir()
    elif what == "file":
        path.write_text("x")
    with pytest.raises(UsageError, match="is not a run folder") as caught:
        RunFolder.open(path)
    assert caught.value.advice == "Record one: loadgen record"


def test_a_name_without_its_folder_is_advised(here: Path) -> None:
    """Who copies the name of a run out of a result learns where it is."""
    (here / "runs" / "a").mkdir(parents=True)
    (here / "runs" / "a" / "run.json").touch()
    with pytest.raises(UsageError, match="is not a run folder") as caught:
        RunFolder.open((here / "a").relative_to(here))
    assert caught.value.advice == "Give runs/a"


def test_no_run_yet_is_a_usage_error(here: Path) -> None:
    """Without any run there is no latest one."""
    with pytest.raises(UsageError, match="there is no run in runs/ yet"):
        RunFolder.open(None)


def test_a_dangling_latest_is_a_usage_error(here: Path) -> None:
    """A latest run that was deleted is no run."""
    (here / "runs").mkdir()
    (here / "runs" / "latest").symlink_to("gone")
    with pytest.raises(UsageError):
        RunFolder.open(None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b'{"format": "loadgen-run/2"}',
        b'{"format": "loadgen-run/2", "seal": ""}',
    ],
)
def test_a_damaged_manifest_is_a_recording_fault(tmp_path: Path, content: bytes) -> None:
    """Whatever is in ``run.json``, what is not a manifest of this format is refused as damaged."""
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RecordingFault, match=r"run\.json"):
        RunFolder.open(tmp_path)


@pytest.mark.slow
def test_a_torn_manifest_is_a_recording_fault(recorded: tuple[RunFolder, Manifest]) -> None:
    """A manifest cut at any byte is refused; only the newline at its end can be spared."""
    path = recorded[0].path / "run.json"
    whole = path.read_bytes()
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordingFault):
            RunFolder.open(path.parent)


def test_a_manifest_with_other_fields_is_a_recording_fault(recorded: tuple[RunFolder, Manifest]) -> None:
    """A field that is missing or unknown means that another program wrote it."""
    run, complete = recorded
    content = complete.to_json()
    for changed in (
        {**content, "more": 1},
        {**content, "spec": {**content["spec"], "more": 1}},
        {**content, "result": {**content["result"], "files": 3}},
        *({key: value for key, value in content.items() if key != name} for name in ("id", "spec")),
    ):
        reseal(run.path / "run.json", changed)
        with pytest.raises(RecordingFault):
            RunFolder.open(run.path)


def test_another_format_names_both(tmp_path: Path) -> None:
    """A folder of another version says which it is, and which one is read here."""
    for found, says in (
        (
            "loadgen-run/9",
            "by a newer loadgen (loadgen 0.0.7) and cannot be read: its format is 'loadgen-run/9'",
        ),
        (
            "loadgen-run/1",
            "by an older loadgen (loadgen 0.0.7) and cannot be read: its format is 'loadgen-run/1'",
        ),
        ("something/1", "is damaged: its format is 'something/1'"),
        (3, "is damaged: its format is '3'"),
    ):
        write_json(
            tmp_path / "run.json", {**manifest().to_json(), "versions": {"loadgen": "0.0.7"}, "format": found}
        )
        with pytest.raises(
            RecordingFault, match=f"{re.escape(says)}.* this loadgen reads '{FORMAT}'"
        ) as refused:
            RunFolder.open(tmp_path)
        assert "record again" in refused.value.advice


# ---- the recording ---------------------------------------------------------------------------------------


def test_what_was_recorded_is_accepted(recorded: tuple[RunFolder, Manifest]) -> None:
    """An untouched recording of a complete run is accepted, by digests of its bytes."""
    run, complete = recorded
    run.check_recording(complete)
    assert run.transcript_unchanged(complete)
    assert complete.result.files["recording.bin"] == sha256(b"tape").hexdigest() == digest(run.recording)


@pytest.mark.parametrize(
    ("state", "error", "what"),
    [
        (State.RECORDING, "", "the run is recording, not complete: it was interrupted"),
        (State.FAILED, "no port", "the run is failed, not complete: no port"),
        (State.MASKED, "", "not complete"),
    ],
)
def test_a_run_that_is_not_complete_is_refused(
    recorded: tuple[RunFolder, Manifest], state: State, error: str, what: str
) -> None:
    """A recording that was not finished is never replayed, and it is told why it was not."""
    run, complete = recorded
    complete.result.state, complete.result.error = state, error
    with pytest.raises(RecordingFault, match=what):
        run.check_recording(complete)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "is missing"),
        (b"", "is empty"),
        (b"tap", "truncated or changed"),
        (b"tapE", "truncated or changed"),
        (b"tape\n", "truncated or changed"),
    ],
)
def test_a_changed_recording_is_refused(
    recorded: tuple[RunFolder, Manifest], content: bytes | None, what: str
) -> None:
    """One changed bit is enough: the engine itself does not check what it replays."""
    run, complete = recorded
    if content is None:
        run.recording.unlink()
    else:
        run.recording.write_bytes(content)
    with pytest.raises(RecordingFault, match=what) as caught:
        run.check_recording(complete)
    assert caught.value.advice


def test_a_recording_without_a_digest_is_refused(recorded: tuple[RunFolder, Manifest]) -> None:
    """Without the digest there is no evidence that it is what was recorded."""
    run, complete = recorded
    complete.result.files = {}
    with pytest.raises(RecordingFault, match="SHA-256 differs"):
        run.check_recording(complete)
    assert not run.transcript_unchanged(complete)


def test_a_changed_transcript_is_seen(recorded: tuple[RunFolder, Manifest]) -> None:
    """One byte more or less is not what was recorded."""
    run, complete = recorded
    run.transcript.write_bytes(b"transcript\n")
    assert not run.transcript_unchanged(complete)


# ---- transcripts and verifications -----------------------------------------------------------------------


def test_a_missing_transcript_is_a_transcript_fault(tmp_path: Path) -> None:
    """A transcript that is not there, or is a folder, is named; it is never taken for an empty one."""
    for path in (tmp_path / "gone.jsonl", tmp_path):
        with pytest.raises(TranscriptFault, match=f"the transcript {path} cannot be read"):
            read_transcript(path, tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..", ""])
def test_bodies_are_fetched_from_their_folder_only(tmp_path: Path, name: str) -> None:
    """A transcript that names a body elsewhere does not get it."""
    (tmp_path / "secret").write_bytes(b"x" * 70_000)
    (tmp_path / "bodies").mkdir()
    lines: list[dict[str, Any]] = [
        {"event": "run", "format": TRANSCRIPT_FORMAT, "run": "r", "scenario": "s", "seed": 1,
         "concurrency": 1, "iterations": 1, "started": "now"},
        {"event": "request", "seq": 1, "user": 0, "method": "GET", "target": "/", "headers": [],
         "body": {"sha256": name, "size": 70_000}},
    ]  # fmt: skip
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with read_transcript(path, tmp_path / "bodies") as events, pytest.raises(TranscriptFault, match="line 2"):
        list(events)


def test_verifications_are_numbered(recorded: tuple[RunFolder, Manifest]) -> None:
    """Each verification gets a folder of its own, after the highest number, whatever else is there."""
    run, _ = recorded
    assert [run.new_verification().name for _ in range(2)] == ["1", "2"]
    for other in ("9", "notes"):
        (run.path / "verify" / other).mkdir()
    (run.path / "verify" / "11").write_text("a file")
    assert run.new_verification() == run.path / "verify" / "12"
    assert list((run.path / "verify" / "12").iterdir()) == []


def test_json_is_replaced_at_once(tmp_path: Path) -> None:
    """A reader sees the old file or the new one, readable text, and nothing else stays in the folder."""
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    inode = path.stat().st_ino
    write_json(path, {"a": "ü"})
    assert path.stat().st_ino != inode
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}
    assert [one.name for one in tmp_path.iterdir()] == ["x.json"]
