"""Locations in a request of values that may come from an earlier answer, and their encodings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from loadgen.client.traffic.call import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from loadgen.client.traffic.call import Call

TELLING = 8
"""A text with this many characters is not in two places by chance."""
_OF_THE_CLIENT = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "cookie", "content-type", "user-agent", "referer",
        "origin", "cache-control", "pragma", "dnt", "priority", "sec-gpc", "upgrade-insecure-requests",
        "x-requested-with", *CONNECTION,
    }
)  # fmt: skip
"""Headers that a client creates by itself, or for its connection."""
_SPACE = re.compile(r"[ \t\r\n]*")
_PART = re.compile(
    r'\r\nContent-Disposition: form-data; name="(?P<name>[^"]*)"\r\n(?:[^\r\n]+\r\n)*\r\n'
    r"(?P<value>[^\r\n]*)\r\n--",
    re.IGNORECASE,
)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Slot:
    """One location in a request."""

    part: str
    """``target``, ``body``, or the index of a header."""
    start: int
    end: int
    value: str | int
    """The decoded value."""
    writing: str
    """Its encoding: see :func:`written`."""
    key: str = ""
    """The name of the location."""
    behind: str = ""
    """The path segment before it."""


def written(value: str | int, writing: str) -> str:
    """Return *value* encoded for a slot, its bytes decoded as latin-1."""
    match writing:
        case "path":
            text = quote(str(value), safe="")
        case "query":
            text = quote_plus(str(value), safe="")
        case "json":
            text = json.dumps(str(value), ensure_ascii=False)
        case "unquoted":  # a cookie, whose value is encoded
            text = unquote(str(value))
        case _:  # "plain", and "number": a number of JSON
            text = str(value)
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def slots(call: Call) -> Iterator[Slot]:
    """Yield the slots of *call*, without its cookies."""
    path, mark, query = call.target.partition("?")
    at, behind = 0, ""
    for piece in path.split("/"):
        if piece:
            yield Slot("target", at, at + len(piece), unquote(piece), "path", behind=behind.rstrip("/"))
        behind += f"{piece}/"
        at += len(piece) + 1
    yield from _pairs("target", query, len(path) + len(mark))
    for number, (name, value) in enumerate(call.headers):
        start = value.rfind(" ") + 1
        if name.lower() not in _OF_THE_CLIENT and len(value) - start >= TELLING:
            yield Slot(str(number), start, len(value), value[start:], "plain", key=name.lower())
    yield from _body(call)


def cookies(call: Call) -> Iterator[Slot]:
    """Yield the slots of its cookies."""
    for number, (name, value) in enumerate(call.headers):
        if name.lower() != "cookie":
            continue
        at = 0
        for pair in value.split(";"):
            key, equals, text = pair.partition("=")
            start = at + len(key) + len(equals)
            if equals:
                yield Slot(
                    str(number), start, start + len(text.rstrip()), text.rstrip(), "plain", key.strip()
                )
            at += len(pair) + 1


def _body(call: Call) -> Iterator[Slot]:
    kind = next((value for name, value in call.headers if name.lower() == "content-type"), "").lower()
    text = call.body.decode("latin-1")
    if "json" in kind:
        try:
            json.loads(call.body)
            yield from _json(text, 0, "", "")
        except (ValueError, RecursionError):
            return
    elif kind.startswith("application/x-www-form-urlencoded"):
        yield from _pairs("body", text, 0)
    elif kind.startswith("multipart/form-data"):
        for found in _PART.finditer(text):
            yield Slot("body", *found.span("value"), found["value"], "plain", found["name"])


def _pairs(part: str, text: str, at: int) -> Iterator[Slot]:
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        start = at + len(name) + len(equals)
        if equals and value:
            yield Slot(part, start, start + len(value), unquote_plus(value), "query", unquote_plus(name))
        at += len(pair) + 1


def _json(text: str, at: int, key: str, owner: str) -> Generator[Slot, None, int]:
    """Yield the texts and whole numbers of the JSON at *at*; return where it ends. *text* is valid JSON.

    An ``id`` has the name of its *owner*, the object that it is in: ``cart_id`` in ``{"cart": {"id": 7}}``.
    """
    at = _skip(text, at)
    if text[at] not in "{[":
        value, end = _DECODER.raw_decode(text, at)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            name = f"{owner}_id" if owner and key.lower() in {"id", "uuid"} else key
            yield Slot("body", at, end, value, "json" if isinstance(value, str) else "number", name)
        return end
    is_object = text[at] == "{"
    owner = key if is_object else owner
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at) + 1
        at = yield from _json(text, at, key, owner)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found
    return found.end()
