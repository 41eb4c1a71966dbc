"""Files and folders: only regular files are read, writes are atomic, numbering is free of races."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
from contextlib import contextmanager, suppress
from hashlib import file_digest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader, BufferedWriter
    from pathlib import Path
    from types import TracebackType

LATEST = "latest"
LARGEST = 64 << 20
"""Maximum size in bytes of a file that is read into memory."""


def open_regular(path: Path) -> BufferedReader:
    """Open the file at *path* for reading.

    Named pipes and devices are refused: reading them could block or never end.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    if not regular:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, largest: int = LARGEST) -> bytes:
    """Return the content of the file at *path*.

    Raises:
        OSError: it cannot be read, is not a regular file, or holds more than *largest* bytes.
    """
    with open_regular(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))
    return content


def digest(path: Path) -> str:
    """Return the SHA-256 of the file at *path*.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return file_digest(file, "sha256").hexdigest()


class Named:
    """Names *path* in an error that has no file, as that of a write to a full disk.

    It may be entered again, and costs each event of a journal a fifth of what one of a generator does.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Do nothing: only an error matters."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Name the path."""
        if isinstance(error, OSError):
            error.filename = error.filename or str(self._path)


@contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """Open a temporary file that becomes *path* when all is written: readers never see a partial file.

    Raises:
        OSError: it cannot be written; *path* is as it was.
    """
    beside = path.parent / f".{path.name}-{os.getpid()}.part"
    try:
        with Named(path), beside.open("wb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Replace what is at *path* by *content*, atomically."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write *content* as indented JSON, atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def numbered(parent: Path) -> list[int]:
    """Return the numbers of the numbered folders in *parent*, ascending."""
    return sorted(int(path.name) for path in parent.glob("*") if path.name.isdecimal() and path.is_dir())


def new_numbered(parent: Path) -> Path:
    """Create the next numbered folder in *parent*, and *parent* if needed; return it.

    Raises:
        OSError: it cannot be made.
    """
    parent.mkdir(exist_ok=True)
    number = max((int(path.name) for path in parent.iterdir() if path.name.isdecimal()), default=0)
    while True:
        number += 1
        try:
            (parent / str(number)).mkdir()
        except FileExistsError:
            continue
        return parent / str(number)


def new_folder_like(path: Path, mode: int = 0o777) -> Path:
    """Create a new folder called *path*, or *path* with ``-2``, ``-3`` and so on; return it.

    Raises:
        OSError: it cannot be made.
    """
    for candidate in _candidates(path):
        try:
            candidate.mkdir(mode, parents=True)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("unreachable")


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def link_latest(path: Path) -> None:
    """Point the link ``latest`` beside the folder *path* to it."""
    latest = path.parent / LATEST
    if latest.is_dir() and not latest.is_symlink():
        return  # a folder that a user named "latest"
    beside = latest.with_name(f".{LATEST}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(path.name)
    beside.replace(latest)


_EXCHANGE = 2
"""``RENAME_EXCHANGE`` of Linux."""
_HERE = -100
"""``AT_FDCWD``."""


def exchange(one: Path, other: Path) -> None:
    """Let the folders *one* and *other* exchange their names, in a single step: no moment is without either.

    Raises:
        OSError: it cannot be done, such as on a file system that has no such step.
    """
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one))
