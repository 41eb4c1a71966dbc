"""JSON paths such as ``$.user.password``, ``$.items[*].key``, ``$..token``, and their matches in a text.

A match is a span of the text, so that a value can be replaced without changing any other byte.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # the decoder's own reader of strings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Step = str | int
Path = tuple[Step, ...]

ANY = "*\0"
"""A step that any key or index matches."""
DEEP = "..\0"
"""The next step may come at any depth."""

_TOKEN = re.compile(
    r"""(?P<deep>\.\.)?(?:
        \.?(?P<star>\*)
      | (?:(?<=\.\.)|\.)(?P<key>[^.\[\]*\s"']+)
      | \[(?:(?P<index>\d+)|(?P<each>\*)|(?P<quoted>"(?:[^"\\]|\\.)*"))\]
    )""",
    re.VERBOSE,
)
_SPACE = re.compile(r"[ \t\n\r]*")
_decoder = json.JSONDecoder()


def parse(text: str) -> Path:
    """Parse a path.

    Raises:
        ValueError: it is not valid.
    """
    if not text.startswith("$") or text == "$":
        raise ValueError("a JSON path looks like $.name, $.list[*].name or $..name")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"it cannot be read from {text[at:]!r} on")
        at = token.end()
        if token["deep"]:
            steps.append(DEEP)
        if token["star"] or token["each"]:
            steps.append(ANY)
        elif token["index"]:
            steps.append(int(token["index"]))
        else:
            steps.append(token["key"] or json.loads(token["quoted"]))
    return tuple(steps)


def advance(paths: Iterable[Path], step: Step) -> list[Path]:
    """Return the remaining *paths* below a value's child *step*; ``()`` if one ends there."""
    left: list[Path] = []
    for path in paths:
        if path and path[0] == DEEP:
            left.append(path)
            rest = path[1:]
        else:
            rest = path
        if rest and rest[0] in (ANY, step) and type(rest[0]) in (str, type(step)):
            left.append(rest[1:])
    return left


def find(text: str, paths: Iterable[Path]) -> list[tuple[int, int]]:
    """Return the spans of the values in the JSON *text* that *paths* point to, in order, not nested.

    Raises:
        ValueError: the text is not one JSON value.
        RecursionError: it is nested too deeply.
    """
    spans: list[tuple[int, int]] = []
    end = _walk(text, _skip(text, 0), list(paths), spans)
    if _skip(text, end) != len(text):
        raise ValueError("something follows the JSON value")
    return spans


def find_in_beginning(text: str, paths: Iterable[Path]) -> list[tuple[int, int]]:
    """Return the spans in the beginning of a JSON text, as :func:`find`; the last value may be incomplete.

    Raises:
        ValueError: no JSON text begins so.
        RecursionError: it is nested too deeply.
    """
    spans: list[tuple[int, int]] = []
    try:
        _walk(text, _skip(text, 0), list(paths), spans)
    except json.JSONDecodeError as error:
        if not _is_at_the_end(error):
            raise
    return spans


def _is_at_the_end(error: json.JSONDecodeError) -> bool:
    """Return whether more text could follow that makes it valid."""
    rest = error.doc[error.pos :]
    return (
        not rest.strip(" \t\n\r.eE+-")  # nothing, or the rest of a number
        or error.msg.startswith("Unterminated string")
        or (error.msg.startswith("Invalid \\") and len(rest) <= len("\\u0000"))
        or any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "Infinity", "-Infinity"))
    )


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _skip_value(text: str, at: int, spans: list[tuple[int, int]]) -> int:
    """Add the value that begins at *at* to *spans*, and return where it ends."""
    spans.append((at, len(text)))  # if it is incomplete
    end = int(_decoder.raw_decode(text, at)[1])
    spans[-1] = (at, end)
    return end


def _walk(text: str, at: int, paths: list[Path], spans: list[tuple[int, int]]) -> int:
    """Skip the value that begins at *at*, and return where it ends."""
    opening = text[at : at + 1]
    if () in paths or not paths or opening not in ("{", "["):
        return _skip_value(text, at, spans if () in paths and at < len(text) else [])
    closing = "}" if opening == "{" else "]"
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        return at + 1
    index = 0
    while True:
        step: Step = index
        if closing == "}":
            if text[at : at + 1] != '"':
                raise json.JSONDecodeError("no key", text, at)
            step, at = scanstring(text, at + 1)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise json.JSONDecodeError("no colon", text, at)
            at = _skip(text, at + 1)
        at = _skip(text, _walk(text, at, advance(paths, step), spans))
        after, at = text[at : at + 1], _skip(text, at + 1)
        if after == closing:
            return at
        if after != ",":
            raise json.JSONDecodeError("no comma before", text, at)
        index += 1
