"""Reads a file of requests, whichever of the two it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.client.traffic import curl, har
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.traffic.call import Call


def read(file: Path) -> tuple[list[Call], list[str]]:
    """Return the requests of *file*, HAR or curl commands, and what a user should know about them.

    Raises:
        UsageError: it cannot be read, or is neither; the message says where and why.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        return har.parse(file, content)
    return curl.parse(file, content), []
