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


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _walk(text: str, at: int, paths: list[Path], spans: list[tuple[int, int]]) -> int:
    """Skip the value that begins at *at*, and return where it ends."""
    opening = text[at : at + 1]
    if () in paths or not paths or opening not in ("{", "["):
        end = int(_decoder.raw_decode(text, at)[1])
        if () in paths:
            spans.append((at, end))
        return end
    closing = "}" if opening == "{" else "]"
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        return at + 1
    index = 0
    while True:
        step: Step = index
        if closing == "}":
            if text[at : at + 1] != '"':
                raise ValueError(f"no key at {at}")
            step, at = scanstring(text, at + 1)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise ValueError(f"no colon at {at}")
            at = _skip(text, at + 1)
        at = _skip(text, _walk(text, at, advance(paths, step), spans))
        after, at = text[at : at + 1], _skip(text, at + 1)
        if after == closing:
            return at
        if after != ",":
            raise ValueError(f"no comma before {at}")
        index += 1
