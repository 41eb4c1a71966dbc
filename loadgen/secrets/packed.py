"""Compressed data: content codings of bodies, and whatever is compressed inside of other bytes."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.exchange import Headers

LARGEST = 64 << 20
"""Number of bytes to which anything is unpacked."""
_STARTS = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04")


def unzipped(body: bytes, coding: str) -> bytes:
    """Return *body* without its *coding*; itself if that is unknown, or the body is damaged."""
    for wbits in {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}.get(coding.strip(), ()):
        try:
            return zlib.decompressobj(wbits).decompress(body, LARGEST)
        except zlib.error:
            continue
    return body


def gzipped(content: bytes, headers: Headers) -> bytes:
    """Return *content* in the content coding of *headers*, which :func:`unzipped` undoes."""
    coding = next((value.lower() for name, value in headers if name.lower() == "content-encoding"), "")
    return gzip.compress(content, mtime=0) if "gzip" in coding else zlib.compress(content)


def payloads(content: bytes) -> Iterator[bytes]:
    """Yield what is compressed in *content*, in gzip, zlib or zip format, wherever it begins."""
    for found in _STARTS.finditer(content):
        if found[0] == b"PK\x03\x04":
            yield from _members(content[found.start() :])
            continue
        try:
            inner = zlib.decompressobj(47).decompress(content[found.start() :], LARGEST)
        except zlib.error:
            continue
        if inner:
            yield inner


def _members(archive: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for info in opened.infolist():
                if info.file_size <= LARGEST:
                    yield opened.read(info)
    except (zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError, EOFError, zlib.error):
        return
