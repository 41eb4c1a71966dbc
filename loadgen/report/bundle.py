"""The bundle: a run folder as one ``.tar.gz``, to verify or to read elsewhere.

If nothing had to be masked, it contains the run unchanged, and can be verified. Otherwise the requests are no
longer the recorded ones, and the engine's tape would contain the masked values in clear text. The bundle then
has the masked transcript and no tape, and its ``run.json`` says so: it can only be read.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from dataclasses import replace as change
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.core.exchange import Failure
from loadgen.core.masking import Masker
from loadgen.core.transcript import FailedIteration
from loadgen.store import manifest as manifests
from loadgen.store import sealed
from loadgen.store.manifest import State
from loadgen.store.rewriting import rewritten

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from loadgen.core.masking import Rules
    from loadgen.core.transcript import Event
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Bundled:
    """The content of a bundle."""

    verifiable: bool
    masked: dict[str, int]
    """Number of masked values, by header or field."""


def bundle(
    run: RunFolder, manifest: Manifest, rules: Rules, file: BinaryIO, *, keep_secrets: bool
) -> Bundled:
    """Write the bundle of *run* to *file*.

    Raises:
        LoadgenError: the run is not complete, its recording was changed, or its transcript is damaged.
    """
    run.check_recording(manifest)
    masker = Masker(rules)
    lines, bodies = _transcript(run, masker)
    unmasked = keep_secrets or not masker.masked
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        add = _Archive(archive, manifest.id)
        add.text("README.md", _readme(manifest, masker, unmasked=unmasked, kept=keep_secrets))
        if unmasked:
            files = (run.transcript, run.recording, run.client, run.log, run.client_log)
            for path in (run.path / manifests.NAME, *files):
                add.file(path.name, path)
            for path in sorted(run.bodies.glob("*")):
                add.file(f"bodies/{path.name}", path)
        else:
            masked = replace(manifest.result, state=State.MASKED, files={}, error=_why(masker))
            copy = replace(manifest, result=masked)
            add.bytes(manifests.NAME, sealed.encode(masker.within(copy.to_json())))
            add.text("transcript.jsonl", lines)
            for digest, body in sorted(bodies.items()):
                add.bytes(f"bodies/{digest}", body)
            for log in (run.log, run.client_log):
                if log.is_file():
                    add.text(log.name, masker.text(log.read_text(encoding="utf-8", errors="replace")))
    return Bundled(unmasked, dict(masker.masked))


def _transcript(run: RunFolder, masker: Masker) -> tuple[str, dict[str, bytes]]:
    """Return the masked transcript, and the large bodies that it refers to."""
    with run.read() as events:
        return rewritten(events, lambda event: _masked(event, masker))


def _masked(event: Event, masker: Masker) -> Event:
    masked = masker.event(event)
    if isinstance(masked, Failure | FailedIteration):
        return change(masked, message=masker.text(masked.message))
    return masked


class _Archive:
    """Adds members whose bytes depend only on the run: without owner and time of packing."""

    def __init__(self, archive: tarfile.TarFile, root: str) -> None:
        self._archive = archive
        self._root = root

    def text(self, name: str, text: str) -> None:
        self.bytes(name, text.encode("utf-8", "replace"))

    def bytes(self, name: str, content: bytes) -> None:
        self._archive.addfile(self._member(name, len(content)), io.BytesIO(content))

    def file(self, name: str, path: Path) -> None:
        if path.is_file():
            with path.open("rb") as content:
                self._archive.addfile(self._member(name, path.stat().st_size), content)

    def _member(self, name: str, size: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(f"{self._root}/{name}")
        member.size, member.mode = size, 0o644
        return member


def _why(masker: Masker) -> str:
    what = ", ".join(f"{name} ({count})" for name, count in sorted(masker.masked.items()))
    return (
        f"Secrets were masked when it was exported: {what}. "
        "Its requests are no longer those that were recorded, so it cannot be verified."
    )


def _readme(manifest: Manifest, masker: Masker, *, unmasked: bool, kept: bool) -> str:
    versions = "\n".join(f"- {name}: {version}" for name, version in manifest.result.versions.items())
    what = f"`{manifest.spec.target_name}`, {manifest.spec.traffic_name}"
    head = f"# loadgen run {manifest.id}\n\nRecorded {manifest.created}: {what}.\n\n"
    if not unmasked:
        return masker.text(f"{head}{_why(masker)}\n\n    loadgen report .\n")
    warning = (
        "**It holds secrets in clear text**: headers, cookies, and whatever is on the engine's tape.\n\n"
        if kept
        else ""
    )
    return (
        f"{head}{warning}To verify it, with the versions below installed and the target at the same path:\n\n"
        "    loadgen verify .\n\n"
        "A replay runs what the tape names, and unpickles what it holds: verify only what you trust.\n\n"
        f"{versions}\n\nSHA-256 of the tape: {manifest.result.files.get('recording.bin', '')}\n"
    )
