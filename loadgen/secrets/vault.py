"""The vault: what a replay needs of a run, encrypted. The key is never in a run folder.

The key is that of the environment variable :data:`VARIABLE`, or of a file of the user, which is made when
the first run is sealed. Encryption is Fernet's (AES-128-CBC and HMAC-SHA256, of the library *cryptography*),
over a compressed archive: ``sealed.bin``.
"""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.errors import MachineFault, RecordingFault
from loadgen.secrets.detector import INSTALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.fernet import Fernet

VARIABLE = "LOADGEN_SECRETS_KEY"
FILE = "~/.config/loadgen/secrets.key"
"""Where the user's key usually is; see :func:`key_file`."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and where it is from."""

    text: str
    place: str

    @property
    def name(self) -> str:
        """A name that says nothing about it."""
        return blake2b(self.text.encode(), digest_size=4, person=b"loadgen").hexdigest()

    @property
    def secret(self) -> bytes:
        """Bytes from which pseudonyms are derived."""
        return blake2b(self.text.encode(), person=b"pseudonym").digest()


def key_file() -> Path:
    """Return the file that holds the user's key."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "loadgen" / "secrets.key"


def key(*, create: bool = False) -> Key | None:
    """Return the key of this user; None if there is none, unless it is to be created.

    Raises:
        MachineFault: it is not a key, or cannot be read or written.
    """
    file = key_file()
    given = os.environ.get(VARIABLE)
    try:
        if given is not None:
            return _checked(given.strip(), f"${VARIABLE}")
        if file.is_file():
            return _checked(file.read_text(encoding="ascii").strip(), str(file))
        if not create:
            return None
        file.parent.mkdir(parents=True, exist_ok=True)
        text = _fernet().generate_key().decode()
        with (
            suppress(FileExistsError),
            os.fdopen(
                os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii"
            ) as opened,
        ):
            opened.write(f"{text}\n")
        return _checked(file.read_text(encoding="ascii").strip(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise MachineFault(f"the key {file} cannot be used: {error}") from error


def _checked(text: str, place: str) -> Key:
    try:
        _fernet()(text)
    except (ValueError, UnicodeEncodeError) as error:
        raise MachineFault(
            f"{place} is not a key of loadgen",
            advice=f"Give the key of the machine that recorded the run: the content of {FILE}.",
        ) from error
    return Key(text, place)


def _fernet() -> type[Fernet]:
    try:
        from cryptography.fernet import Fernet as Cipher  # noqa: PLC0415 - only for sealed runs
    except ImportError as error:
        raise MachineFault("cryptography is not installed, which sealed runs need", advice=INSTALL) from error
    return Cipher


def pack(files: Iterable[tuple[str, Path]], texts: Iterable[tuple[str, bytes]], key: Key) -> bytes:
    """Return *files* and *texts*, each with its name, compressed and encrypted."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        for name, path in files:
            with path.open("rb") as content:
                archive.addfile(_member(name, path.stat().st_size), content)
        for name, text in texts:
            archive.addfile(_member(name, len(text)), io.BytesIO(text))
    return bytes(_fernet()(key.text).encrypt(packed.getvalue()))


def unpack(content: bytes, key: Key, folder: Path) -> None:
    """Write what :func:`pack` packed into *folder*.

    Raises:
        RecordingFault: it was changed, or was encrypted with another key.
    """
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - only for sealed runs

    try:
        packed = _fernet()(key.text).decrypt(content)
    except InvalidToken as error:
        raise RecordingFault(
            "the sealed part of the run was changed, or was encrypted with another key",
            advice=f"The key used is {key.name}, of {key.place}.",
        ) from error
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
