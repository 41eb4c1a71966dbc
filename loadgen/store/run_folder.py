"""The run folder: everything about one recorded session. Format ``loadgen-run/2``.

::

    runs/<time>-c8-s1/
        run.json            manifest: state, what ran, versions, digests of the files below
        transcript.jsonl    see loadgen.core.transcript; large bodies in bodies/<sha256>
        recording.bin       the engine's tape, of the server
        client.bin          that of the load generator, where it was traced
        server.log          what the server printed
        schedule.jsonl      of an explored run, who ran when; see loadgen.traced.choices
        verify/1/           of each verification: verdict.json, transcript.jsonl, server.log
    runs/latest             link to the newest complete run

Files are appended and flushed, or written beside and renamed. ``run.json`` is rewritten as the state changes
from ``recording`` to ``complete`` or ``failed``: a folder never claims more than it holds.
"""

from __future__ import annotations

import json
import os
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.core.transcript import Reader
from loadgen.errors import RecordingFault, TranscriptFault, UsageError
from loadgen.store.manifest import FORMAT, KIND, Manifest, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

DEFAULT_PARENT = Path("runs")
LATEST = "latest"
_PRIVATE = 0o700
"""What was asked and answered is for its owner's eyes only, as the recording is."""


class RunFolder:
    """A run folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.transcript = path / "transcript.jsonl"
        self.recording = path / "recording.bin"
        self.client = path / "client.bin"
        self.log = path / "server.log"
        self.schedule = path / "schedule.jsonl"
        self.bodies = path / "bodies"

    @classmethod
    def create(cls, wanted: Path | None, name: str) -> RunFolder:
        """Make a new, empty run folder: *wanted*, or one called like *name* under ``runs/``.

        Raises:
            UsageError: *wanted* exists and is not empty, or cannot be made.
        """
        try:
            if wanted is not None:
                wanted.parent.mkdir(parents=True, exist_ok=True)
                wanted.mkdir(_PRIVATE, exist_ok=True)
                if any(wanted.iterdir()) or not _claim(wanted):
                    raise UsageError(
                        f"{wanted} is not empty",
                        advice="Recorded runs are never overwritten: name another folder.",
                    )
                return cls(wanted)
            DEFAULT_PARENT.mkdir(exist_ok=True)
            for path in _candidates(DEFAULT_PARENT / name):
                try:
                    path.mkdir(_PRIVATE)
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise UsageError(
                f"cannot make the run folder: {error}", advice="Name another: --run DIR"
            ) from error
        raise AssertionError("unreachable")

    @classmethod
    def open(cls, given: Path | None) -> tuple[RunFolder, Manifest]:
        """Open an existing run folder, by default the latest one, and read its manifest.

        Raises:
            UsageError: there is none there.
            RecordingFault: its manifest is damaged, or is of another format.
        """
        path = given or DEFAULT_PARENT / LATEST
        manifest = path / "run.json"
        if not os.path.isfile(manifest):  # noqa: PTH113 - unlike Path's, false for a name that cannot be
            what = f"{path} is no run folder: it has no run.json" if given else "there is no run in runs/ yet"
            raise UsageError(what, advice="Record one: loadgen record")
        try:
            content = json.loads(manifest.read_text(encoding="utf-8"))
            found = content.get("format")
            if found != FORMAT and str(found).startswith(KIND):
                raise RecordingFault(
                    f"{path} was made by another version of loadgen: its format is {found!r}, and this one "
                    f"reads {FORMAT!r}",
                    advice="Verify it with the loadgen that recorded it, or record again: loadgen record",
                )
            if found != FORMAT:
                raise ValueError(f"its format is {found!r}")  # noqa: TRY301 - one error for all damage
            return cls(path.resolve() if given is None else path), Manifest.from_json(content)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RecordingFault(f"{manifest} cannot be read: {error}", advice="Record again.") from error

    def save(self, manifest: Manifest) -> None:
        """Write ``run.json``."""
        write_json(self.path / "run.json", manifest.to_json())

    def make_latest(self) -> None:
        """Let ``latest`` beside this folder point to it."""
        link_latest(self.path)

    def is_latest(self) -> bool:
        """Say whether it is what commands take when no run is named."""
        return (DEFAULT_PARENT / LATEST).resolve() == self.path.resolve()

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files that make up the recording."""
        sometimes = [path for path in (self.client, self.schedule) if path.exists()]
        return {path.name: digest(path) for path in (self.transcript, self.recording, *sometimes)}

    def check_recording(self, manifest: Manifest, recording: Path | None = None) -> None:
        """Refuse a recording that is not, to the bit, what was recorded; the engine itself does not check.

        By default it is that of the server.

        Raises:
            RecordingFault: the run is not complete, or its recording is missing, empty or changed.
        """
        again = "Record again: loadgen record"
        result = manifest.result
        if result.state is not State.COMPLETE:
            why = result.error or "it was interrupted before its recording was complete"
            raise RecordingFault(f"the run is {result.state}, not complete: {why}", advice=again)
        recording = recording or self.recording
        if not recording.is_file():
            raise RecordingFault(f"the recording {recording} is missing", advice=again)
        if not recording.stat().st_size:
            raise RecordingFault(f"the recording {recording} is empty", advice=again)
        if digest(recording) != manifest.result.files.get(recording.name):
            raise RecordingFault(
                f"{recording} is not what was recorded: it was truncated or changed (SHA-256 differs)",
                advice="Restore the file, or record again. A changed recording is never replayed.",
            )
        chosen = manifest.result.files.get(self.schedule.name)
        if chosen is not None and (not self.schedule.is_file() or digest(self.schedule) != chosen):
            raise RecordingFault(
                f"the recording's schedule {self.schedule} is missing or changed (SHA-256 differs)",
                advice="Restore the file, or record again.",
            )

    def transcript_unchanged(self, manifest: Manifest) -> bool:
        """Say whether the transcript is, to the bit, what was recorded."""
        return digest(self.transcript) == manifest.result.files.get(self.transcript.name)

    def read(self) -> AbstractContextManager[Reader]:
        """Open the transcript for reading."""
        return read_transcript(self.transcript, self.bodies)

    def new_verification(self) -> Path:
        """Make the folder of the next verification.

        Raises:
            UsageError: the run folder cannot be written to.
        """
        parent = self.path / "verify"
        try:
            parent.mkdir(exist_ok=True)
            number = max((int(path.name) for path in parent.iterdir() if path.name.isdecimal()), default=0)
            while True:
                number += 1
                try:
                    (parent / str(number)).mkdir()
                except FileExistsError:
                    continue
                return parent / str(number)
        except OSError as error:
            raise UsageError(
                f"cannot keep the verification's evidence in {parent}: {error.strerror}",
                advice="Make the run folder writable, or copy it.",
            ) from error


class read_transcript:  # noqa: N801 - used as a function
    """Open the transcript at *path* as a stream: ``with read_transcript(path, bodies) as events: ...``."""

    def __init__(self, path: Path, bodies: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise TranscriptFault(
                f"the transcript {path} cannot be read: {error.strerror}",
                advice="Record again: loadgen record",
            ) from error
        self._reader = Reader(self._file, lambda sha: (bodies / Path(sha).name).read_bytes(), name=str(path))

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def link_latest(path: Path) -> None:
    """Let ``latest`` beside the folder *path* point to it."""
    latest = path.parent / LATEST
    if latest.is_dir() and not latest.is_symlink():
        return  # a folder that somebody called so
    beside = latest.with_name(f".{LATEST}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(path.name)
    beside.replace(latest)


def write_json(path: Path, content: Any) -> None:
    """Write *content* to *path* beside it and rename, so that no reader sees half of it."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _claim(folder: Path) -> bool:
    """Say whether an empty *folder* is ours from now on: another recording may have been given it, too."""
    try:
        (folder / "run.json").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1
