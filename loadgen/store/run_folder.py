"""The run folder: everything about one recorded session. Format ``loadgen-run/3``.

::

    runs/<time>-c8-s1/
        run.json            manifest: state, what ran, versions, digests of the files below, and a seal over
                            all of this (see loadgen.store.sealed); see loadgen.store.manifest
        transcript.jsonl    see loadgen.core.transcript; large bodies in bodies/<sha256>
        recording.bin       the engine's tape, of the server
        client.bin          the tape of the load generator, if it was traced
        server.log          output of the server; client.log output of a traced load generator
        sealed.bin          of a sealed run, in place of recording.bin; see loadgen.store.sealing
        schedule.jsonl      of an explored run: which thread ran when; see loadgen.traced.choices
        verify/1/           of each verification: verdict.json, transcript.jsonl, server.log
    runs/latest             link to the newest complete run

Files are appended and flushed, or written beside and renamed. ``run.json`` is rewritten as the state changes
from ``recording`` to ``complete`` or ``failed``: a folder never claims more than it holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.transcript import Reader
from loadgen.errors import RecordingFault, TranscriptFault, UsageError
from loadgen.store import files
from loadgen.store import manifest as manifests
from loadgen.store.files import LATEST, digest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from loadgen.store.manifest import Manifest

DEFAULT_PARENT = Path("runs")
_PRIVATE = 0o700
"""Requests, answers and recordings are readable by their owner only."""
LARGEST_BODY = 1 << 30
"""Maximum size of a body that is read back: it must fit into memory for its digest to be checked."""


class RunFolder:
    """A run folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.transcript = path / "transcript.jsonl"
        self.recording = path / "recording.bin"
        self.client = path / "client.bin"
        self.log = path / "server.log"
        self.client_log = path / "client.log"
        self.schedule = path / "schedule.jsonl"
        self.bodies = path / "bodies"

    @classmethod
    def create(cls, wanted: Path | None, name: str) -> RunFolder:
        """Create a new run folder: *wanted*, or one named after *name* under ``runs/``.

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
                        advice="Recorded runs are never overwritten: give another folder.",
                    )
                return cls(wanted)
            return cls(files.new_folder_like(DEFAULT_PARENT / name, _PRIVATE))
        except OSError as error:
            why = f"{error.strerror or error}: {os.path.abspath(error.filename or DEFAULT_PARENT)}"  # noqa: PTH100
            raise UsageError(
                f"cannot create the run folder: {why}", advice="Give another one: --run DIR"
            ) from error

    @classmethod
    def open(cls, given: Path | None) -> tuple[RunFolder, Manifest]:
        """Open an existing run folder, by default the latest one, and read its manifest.

        Raises:
            UsageError: it does not exist.
            RecordingFault: its manifest is damaged, or has another format.
        """
        path = given or DEFAULT_PARENT / LATEST
        file = path / manifests.NAME
        if not os.path.isfile(file):  # noqa: PTH113 - unlike Path's, false for a name that cannot be
            what = (
                f"{path} is not a run folder: it has no run.json" if given else "there is no run in runs/ yet"
            )
            there = DEFAULT_PARENT / path
            known = os.path.isfile(there / manifests.NAME)  # noqa: PTH113 - the same
            advice = f"Give {there}" if known else "Record one: loadgen record"
            raise UsageError(what, advice=advice)
        return cls(path.resolve() if given is None else path), manifests.read(file)

    def save(self, manifest: Manifest) -> None:
        """Write ``run.json``."""
        manifests.write(self.path / manifests.NAME, manifest)

    def make_latest(self) -> None:
        """Point the link ``latest`` beside this folder to it."""
        files.link_latest(self.path)

    def is_latest(self) -> bool:
        """Return whether commands use this run by default."""
        return (DEFAULT_PARENT / LATEST).resolve() == self.path.resolve()

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files that make up the recording."""
        sometimes = [path for path in (self.client, self.schedule) if path.exists()]
        return {path.name: digest(path) for path in (self.transcript, self.recording, *sometimes)}

    def check_recording(self, manifest: Manifest, recording: Path | None = None) -> None:
        """Refuse a recording that has changed in any bit; the engine does not check this itself.

        The default *recording* is the server's.

        Raises:
            RecordingFault: the run is not complete, or its recording is missing, empty or changed.
        """
        again = "Record again: loadgen record"
        result = manifest.result
        if result.state is not manifests.State.COMPLETE:
            why = result.error or "it was interrupted before its recording was complete"
            raise RecordingFault(f"the run is {result.state}, not complete: {why}", advice=again)
        recording = recording or self.recording
        if manifest.sealed is not None and not recording.exists():
            raise RecordingFault(
                f"{self.path} is sealed: it can be verified, accepted and read, and nothing else",
                advice="See docs/secrets.md.",
            )
        if not recording.is_file():
            raise RecordingFault(f"the recording {recording} is missing", advice=again)
        if not recording.stat().st_size:
            raise RecordingFault(f"the recording {recording} is empty", advice=again)
        try:
            found = digest(recording)
        except OSError as error:
            raise RecordingFault(
                f"the recording {recording} cannot be read: {error.strerror}", advice=again
            ) from error
        if found != manifest.result.files.get(recording.name):
            raise RecordingFault(
                f"{recording} was truncated or changed after the recording (its SHA-256 differs)",
                advice="Restore the file, or record again. A changed recording is never replayed.",
            )
        chosen = manifest.result.files.get(self.schedule.name)
        if chosen is not None and (not self.schedule.is_file() or digest(self.schedule) != chosen):
            raise RecordingFault(
                f"the recording's schedule {self.schedule} is missing or changed (SHA-256 differs)",
                advice="Restore the file, or record again.",
            )

    def transcript_unchanged(self, manifest: Manifest) -> bool:
        """Return whether the transcript is unchanged, bit for bit.

        Raises:
            TranscriptFault: it cannot be read.
        """
        try:
            return digest(self.transcript) == manifest.result.files.get(self.transcript.name)
        except OSError as error:
            raise _unreadable(self.transcript, error) from error

    def read(self) -> AbstractContextManager[Reader]:
        """Open the transcript for reading."""
        return read_transcript(self.transcript, self.bodies)

    def new_verification(self) -> Path:
        """Create the folder of the next verification.

        Raises:
            UsageError: the run folder cannot be written to.
        """
        parent = self.path / "verify"
        try:
            return files.new_numbered(parent)
        except OSError as error:
            raise UsageError(
                f"cannot keep the verification's evidence in {parent}: {error.strerror}",
                advice="Make the run folder writable, or copy it.",
            ) from error


class read_transcript:  # noqa: N801 - used as a function
    """Open the transcript at *path* as a stream: ``with read_transcript(path, bodies) as events: ...``."""

    def __init__(self, path: Path, bodies: Path) -> None:
        try:
            self._file = files.open_regular(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        self._reader = Reader(
            self._file, lambda sha: files.read_regular(bodies / Path(sha).name, LARGEST_BODY), name=str(path)
        )

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def _unreadable(transcript: Path, error: OSError) -> TranscriptFault:
    return TranscriptFault(
        f"the transcript {transcript} cannot be read: {error.strerror}",
        advice="Restore it, or record again: loadgen record",
    )


def _claim(folder: Path) -> bool:
    """Claim an empty *folder*; return False if another recording claimed it first."""
    try:
        (folder / "run.json").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
