"""Decodes the usual lines of a transcript, requests and answers, at once.

:mod:`loadgen.core.transcript` defines the format and its checks. This accepts a subset of what it accepts,
with the same result. Any other line is None here, and is left to it, and to its messages.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from loadgen.core.exchange import Request, Response

if TYPE_CHECKING:
    from loadgen.core.exchange import Headers


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class _Request(msgspec.Struct, tag_field="event", tag="request", forbid_unknown_fields=True, gc=False):
    seq: int
    user: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: _Body | None
    at: float | None = None
    due: float | None = None


class _Answer(msgspec.Struct, tag_field="event", tag="response", forbid_unknown_fields=True, gc=False):
    seq: int
    status: int
    headers: tuple[tuple[str, str], ...]
    body: _Body | None
    reason: str | UnsetType = UNSET
    at: float | None = None


_decode = msgspec.json.Decoder(_Request | _Answer).decode


def decode_usual(line: bytes) -> tuple[Request | Response, float | None, float | None] | None:
    """Return the event of *line*, its time and the time when it was due; None for any other line."""
    try:
        found = _decode(line)
    except (ValueError, RecursionError):  # damaged, or of another kind
        return None
    body = b""
    if found.body is not None:
        text, encoded = found.body.text, found.body.base64
        if (text is UNSET) is (encoded is UNSET):
            return None
        try:
            body = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else _bytes(text)
        except ValueError:
            return None
    headers: Headers = found.headers
    if isinstance(found, _Request):
        asked = Request(found.seq, found.user, found.method, found.target, headers, body)
        return asked, found.at, found.due
    reason = found.reason if isinstance(found.reason, str) else None
    return Response(found.seq, found.status, headers, body, (), reason), found.at, None


def _bytes(text: str | UnsetType) -> bytes:
    assert isinstance(text, str)
    return text.encode()
