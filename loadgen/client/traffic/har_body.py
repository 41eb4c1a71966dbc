"""The bytes of a request's body, from a HAR file.

A HAR file stores text, not bytes, and may store it wrongly. The body is therefore compared with the sizes in
the file. If it is not the body that was sent, that is an error; nothing is guessed.
"""

from __future__ import annotations

import base64
import codecs
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from loadgen.core.exchange import Headers

FORM = "application/x-www-form-urlencoded"
_ENCODED = re.compile(r"(?:[!$'()*,./:;?@\[\]_~0-9A-Za-z+-]|%[0-9A-Fa-f]{2})*")
"""Pattern of an encoded form value."""


class BodyError(Exception):
    """The body that was sent is not in the file."""


def body(request: dict[str, Any], headers: Headers) -> tuple[bytes, bool]:
    """Return the body of *request*, and whether the file contradicts it in an irrelevant way.

    Raises:
        BodyError: the bytes that were sent are not in the file.
    """
    data = request.get("postData") or {}
    if not isinstance(data, dict):
        raise BodyError("its postData is not an object")
    length = _length(headers)
    size = request.get("bodySize")
    size = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    expected = length if length is not None else size or None
    found = _kept(data, _encoding(data, headers), expected)
    if found is None:
        if expected:
            raise BodyError(f"the {expected} bytes of its body are not in the file")
        return b"", False
    if expected is not None and len(found) != expected:
        which = "Content-Length" if length is not None else "bodySize"
        raise BodyError(f"the file has {len(found)} bytes of its body, and {which} says {expected}")
    coded = _field(headers, "content-encoding")
    if coded and coded.lower() != "identity" and not _is_base64(data) and found and expected is None:
        raise BodyError(f"its body was sent with Content-Encoding: {coded}, and the file has it decoded")
    return found, bool(found) and size == 0 and length is None


def _kept(data: dict[str, Any], encoding: str, expected: int | None) -> bytes | None:
    """Return the body in *data*; if it can be read in several ways, the one with the expected size."""
    match data:
        case {"text": str(text)} if text or not data.get("params"):
            if _is_base64(data):
                try:
                    return base64.b64decode(text, validate=True)
                except ValueError as error:
                    raise BodyError("its body is not base64") from error
            ways = [_bytes(text, encoding), _bytes(text, "utf-8"), _bytes(text, "latin-1")]
            return _fitting([way for way in ways if way is not None], expected)
        case {"mimeType": str(kind), "params": [*fields]} if kind.partition(";")[0].strip().lower() == FORM:
            return _form(fields, expected)
        case {"params": [_, *_]}:
            raise BodyError("its body is kept as fields only, not as its bytes")
    return None


def _fitting(ways: list[bytes], expected: int | None) -> bytes:
    """Return the first candidate, unless only another one has the expected size."""
    fits = [way for way in ways if len(way) == expected]
    return fits[0] if fits else ways[0] if ways else b""


def _form(fields: list[Any], expected: int | None) -> bytes:
    pairs = []
    for one in fields:
        match one:
            case {"name": str(name)} if isinstance(value := one.get("value", ""), str):
                pairs.append((name, value))
            case _:
                raise BodyError("a field of its form is not a name and a value")
    return _fitting([way.encode() for way in encodings(pairs)], expected)


def encodings(pairs: list[tuple[str, str]]) -> list[str]:
    """Return possible encodings of *pairs*, the likeliest first: a file may store them decoded or as sent."""
    as_kept = "&".join(f"{name}={value}" for name, value in pairs)
    encoded = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    texts = [text for pair in pairs for text in pair]
    if not all(_ENCODED.fullmatch(text) for text in texts):
        return [encoded]
    return [as_kept, encoded] if any("%" in text or "+" in text for text in texts) else [encoded, as_kept]


def _encoding(data: dict[str, Any], headers: Headers) -> str:
    """Return the charset in which the text was sent."""
    kind = _field(headers, "content-type") or str(data.get("mimeType") or "")
    found = re.search(r";\s*charset\s*=\s*\"?([^\s;\"]+)", kind, re.IGNORECASE)
    try:
        return codecs.lookup(found[1]).name if found else "utf-8"
    except LookupError:
        return "utf-8"


def _bytes(text: str, encoding: str) -> bytes | None:
    try:
        return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except (UnicodeError, LookupError):
        return None


def _is_base64(data: dict[str, Any]) -> bool:
    return "base64" in (data.get("encoding"), data.get("comment"))


def _length(headers: Headers) -> int | None:
    text = _field(headers, "content-length").strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def _field(headers: Headers, wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")
