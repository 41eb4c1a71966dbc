"""Sealed runs: folders without secrets.

While it is recorded, a sealed run is in a private folder in memory. Its run folder gets

``run.json``, ``transcript.jsonl``, ``bodies/``, ``server.log``
    with pseudonyms in place of secrets, to be read, compared, reported and exported;
``sealed.bin``
    what a replay needs, as it was recorded: the tape, the transcript, the secrets that were found. It is
    encrypted (see :mod:`loadgen.secrets.vault`).

A replay has the recorded values, so it is as exact as any other. It runs in a private folder again, and its
evidence gets the same pseudonyms before it is written into the run folder. Nobody without the key can replay.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.engine import retrace
from loadgen.engine.scratch import private_folder
from loadgen.errors import LoadgenError, RecordingFault
from loadgen.secrets.detector import detector
from loadgen.secrets.finding import Secrets, parse
from loadgen.secrets.vault import FILE, VARIABLE, Key, key, pack, unpack
from loadgen.store import files, sealed
from loadgen.store import manifest as manifests
from loadgen.store.files import digest, read_regular
from loadgen.store.manifest import Manifest, Sealed, State
from loadgen.store.rewriting import rewritten
from loadgen.store.run_folder import RunFolder, read_transcript
from loadgen.store.verification import read_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadgen.core.spec import RunSpec

VAULT = "sealed.bin"
LARGEST = 4 << 30
"""Maximum size in bytes of a sealed part."""
_SECRETS = "secrets.json"
_RECORDED = "recorded.json"
_SURE = ("schedule.jsonl",)
"""Files that have only names and lines of code."""


class Sealing:
    """A sealed run while it is recorded: *working* is what the session uses, *home* the run folder."""

    home: RunFolder
    working: RunFolder

    def __init__(self, spec: RunSpec) -> None:
        """Find the key, or create it; the run folder is not needed, because the rules may be refused.

        Raises:
            LoadgenError: a rule is not valid, or this machine lacks what is needed.
        """
        rules, detect = parse(spec.secrets.secret), detector()
        found = key(create=True)
        assert found is not None
        self.key = found
        self._secrets = Secrets(found.secret, rules, detect)
        self._secrets.learn_environment(retrace.chosen(spec.server_env))
        for word in (*sys.argv, *spec.target, str(spec.traffic)):
            self._secrets.learn_text(word)

    def begin(self, home: RunFolder, manifest: Manifest) -> None:
        """Record into a private folder; write ``run.json`` into *home*, without secrets."""
        self.home, self.working = home, RunFolder(private_folder())
        self.home.save(self.public(manifest))

    def public(self, manifest: Manifest) -> Manifest:
        """Return *manifest* with pseudonyms."""
        within, spec, result = self._secrets.within, manifest.spec, manifest.result
        label = replace(spec.label, name=within(spec.label.name), note=within(spec.label.note))
        started = replace(result.started, argv=within(result.started.argv))
        return replace(
            manifest,
            command=within(manifest.command),
            spec=replace(spec, target=within(spec.target), traffic=within(spec.traffic), label=label),
            result=replace(result, error=within(result.error), started=started),
            sealed=Sealed(key=self.key.name, replaced=self._secrets.kinds),
        )

    def close(self, manifest: Manifest) -> Manifest:
        """Write the run into its folder, without secrets, and remove the private one; return its manifest.

        If the run is not complete, only what can be read of it is written.
        """
        try:
            complete = manifest.result.state is State.COMPLETE
            if complete:
                self._secrets.learn_environment(retrace.recorded_start(self.working.recording).environment)
            transcripts = [self.working.transcript] if self.working.transcript.exists() else []
            logs = [path for path in (self.working.log,) if path.exists()]
            _learn(self._secrets, transcripts, logs)
            _publish(self._secrets, self.working.path, self.home.path)
            public = self.public(manifest)
            if complete:
                files.write_bytes(self.home.path / VAULT, self._packed(manifest))
                written = (self.home.transcript, self.home.path / VAULT, self.home.schedule)
                public.result.files = {path.name: digest(path) for path in written if path.exists()}
            self.home.save(public)
        finally:
            shutil.rmtree(self.working.path, ignore_errors=True)
        return public

    def _packed(self, manifest: Manifest) -> bytes:
        working = self.working
        kept = [working.recording, working.transcript, working.schedule, *sorted(working.bodies.glob("*"))]
        named = [(str(path.relative_to(working.path)), path) for path in kept if path.exists()]
        texts = [
            (_SECRETS, json.dumps(self._secrets.values).encode()),
            (_RECORDED, json.dumps(manifest.to_json()).encode()),
        ]
        return pack(named, texts, self.key)


class Unsealed(RunFolder):
    """A sealed run as it was recorded, in a private folder; verifications go to *home*."""

    def __init__(self, home: RunFolder, manifest: Manifest, key: Key) -> None:
        super().__init__(private_folder())
        self.home = home
        self._numbers: list[int] = []
        try:
            unpack(read_regular(home.path / VAULT, LARGEST), key, self.path)
            recorded = Manifest.from_json(json.loads((self.path / _RECORDED).read_bytes()))
            self._secrets = Secrets(key.secret, parse(manifest.spec.secrets.secret), detector())
            for value, kind in json.loads((self.path / _SECRETS).read_bytes()).items():
                self._secrets.add(value, kind)
            for name in (_SECRETS, _RECORDED):
                (self.path / name).unlink()
            self.manifest = replace(
                manifest,
                sealed=None,
                spec=replace(manifest.spec, target=recorded.spec.target),
                result=replace(
                    manifest.result,
                    started=recorded.result.started,
                    files=recorded.result.files,
                ),
            )
            self.save(self.manifest)
        except BaseException:
            self.remove()
            raise

    def new_verification(self) -> Path:
        """Create the folder of the next verification, with the number that it has in the run folder."""
        number = int(self.home.new_verification().name)
        self._numbers.append(number)
        folder = self.path / "verify" / str(number)
        folder.mkdir(parents=True)
        return folder

    def publish(self) -> None:
        """Write the evidence of all verifications into the run folder, without secrets."""
        for number in self._numbers:
            here = self.path / "verify" / str(number)
            transcripts = [path for path in (here / "transcript.jsonl",) if path.exists()]
            logs = [path for path in here.iterdir() if path.is_file() and path not in transcripts]
            _learn(self._secrets, transcripts, logs)
        for number in self._numbers:
            _publish(
                self._secrets, self.path / "verify" / str(number), self.home.path / "verify" / str(number)
            )

    def remove(self) -> None:
        """Remove the private folder."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def unsealed(run: RunFolder, manifest: Manifest) -> Iterator[tuple[RunFolder, Manifest]]:
    """Yield *run* and *manifest* as recorded; a run that is not sealed is yielded as it is.

    The evidence of verifications meanwhile is written into *run* without secrets.

    Raises:
        RecordingFault: it is sealed, and its key is not here, or it is damaged.
    """
    if manifest.sealed is None or manifest.result.state is not State.COMPLETE:
        yield run, manifest
        return
    opened = Unsealed(run, manifest, _key_of(run, manifest))
    try:
        yield opened, opened.manifest
    finally:
        try:
            opened.publish()
        finally:
            opened.remove()


def _key_of(run: RunFolder, manifest: Manifest) -> Key:
    assert manifest.sealed is not None
    vault = run.path / VAULT
    if not vault.is_file() or digest(vault) != manifest.result.files.get(VAULT):
        raise RecordingFault(
            f"{vault} is missing, or was changed after the recording", advice="Restore it, or record again."
        )
    found = key()
    if found is None or found.name != manifest.sealed.key:
        what = f"the key here is {found.name}, of {found.place}" if found else "there is no key here"
        raise RecordingFault(
            f"{run.path} is sealed with the key {manifest.sealed.key}, and {what}",
            advice=f"Set {VARIABLE} to the key of the machine that recorded it: the content of {FILE}.",
        )
    return found


def _learn(secrets: Secrets, transcripts: list[Path], texts: list[Path]) -> None:
    for path in transcripts:
        with suppress(LoadgenError), read_transcript(path, path.parent / "bodies") as events:
            for event in events:
                secrets.learn_event(event)
    for path in texts:
        for line in read_regular(path).decode("utf-8", "replace").splitlines():
            secrets.learn_text(line)


def _publish(secrets: Secrets, here: Path, there: Path) -> None:
    """Write what can be read in the folder *here* into *there*, with pseudonyms."""
    for path in sorted(here.iterdir()):
        match path.name:
            case "transcript.jsonl":
                _publish_transcript(secrets, path, there)
            case "verdict.json":
                verdict, _ = read_verdict(here)
                if verdict is not None:
                    sealed.write(there / path.name, secrets.within(verdict).to_json())
            case name if name in _SURE:
                shutil.copyfile(path, there / name)
            case name if path.suffix in {".log", ".json"} and name != manifests.NAME:
                text = read_regular(path).decode("utf-8", "replace")
                files.write_bytes(there / name, secrets.text(text).encode("utf-8", "replace"))


def _publish_transcript(secrets: Secrets, path: Path, there: Path) -> None:
    with read_transcript(path, path.parent / "bodies") as events:
        text, bodies = rewritten(events, secrets.event)
    for name, body in bodies.items():
        (there / "bodies").mkdir(exist_ok=True)
        files.write_bytes(there / "bodies" / name, body)
    files.write_bytes(there / path.name, text.encode("utf-8", "surrogatepass"))
