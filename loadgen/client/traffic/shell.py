"""A list of commands in a POSIX shell's quoting, as words with their lines; nothing of it is ever run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(
    r"""
      (?P<gap>(?:[ \t\r]|\\\r?\n)+)
    | (?P<end>\n|;|&&?)
    | (?P<hash>\#)
    | '(?P<single>[^']*)'
    | \$'(?P<ansi>(?:\\.|[^'\\])*)'
    | "(?P<double>(?:\\.|[^"\\])*)"
    | \\(?P<escaped>.)
    | (?P<plain>[^\s'"\\$`;&|<>()#]+ | \$(?![\w{('"]))
    """,
    re.VERBOSE | re.DOTALL,
)
_ANSI = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<pair>[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # of UTF-16, as browsers write it
    r"|u(?P<u>[0-9a-fA-F]{1,4})|U(?P<U>[0-9a-fA-F]{1,8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<other>.))",
    re.DOTALL,
)
_NAMED = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_DOUBLE = re.compile(r"\\(?P<escaped>[\"\\$`\n])|(?P<active>`|\$[\w{(])", re.DOTALL)


class ShellError(Exception):
    """A line is not what a shell would take as it stands."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command, without its quotes."""

    text: str
    """Its bytes decoded as UTF-8; those that are not are surrogates."""
    line: int


def commands(text: str) -> Iterator[list[Word]]:
    """Yield the commands of *text*, each as its words.

    Raises:
        ShellError: there is more than words, quotes, comments, and ends of commands.
    """
    words: list[Word] = []
    parts: list[str] | None = None
    at, line, began = 0, 1, 1
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise ShellError(line, _refused(text[at:]))
        kind = found.lastgroup
        if kind == "hash" and parts is None:
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if kind in {"gap", "end"}:
            if parts is not None:
                words.append(Word("".join(parts), began))
                parts = None
            if kind == "end" and words:
                yield words
                words = []
        else:
            if parts is None:
                parts, began = [], line
            parts.append(_unquoted(kind, found, line))
        line += found[0].count("\n")
        at = found.end()
    if parts is not None:
        words.append(Word("".join(parts), began))
    if words:
        yield words


def _unquoted(kind: str | None, found: re.Match[str], line: int) -> str:
    if kind == "ansi":
        return (
            _ANSI.sub(_escape, found["ansi"])
            .encode("utf-8", "surrogateescape")
            .decode("utf-8", "surrogateescape")
        )
    if kind == "double":

        def inner(part: re.Match[str]) -> str:
            if part["active"]:
                raise ShellError(line, _refused(found["double"][part.start() :]))
            return part["escaped"].replace("\n", "")

        return _DOUBLE.sub(inner, found["double"])
    return found[kind or 0]


def _escape(found: re.Match[str]) -> str:
    if code := found["hex"] or found["octal"]:
        byte = int(code, 16 if found["hex"] else 8) & 0xFF
        return bytes((byte,)).decode("utf-8", "surrogateescape")
    if pair := found["pair"]:
        return bytes.fromhex(pair.replace("\\u", "")).decode("utf-16-be")
    if code := found["u"] or found["U"]:
        return chr(min(int(code, 16), 0x10FFFF)).encode("utf-8", "replace").decode()
    return _NAMED.get(found["other"], found["other"])


def _refused(rest: str) -> str:
    match rest[0]:
        case "'" | '"':
            return "a quote is not closed"
        case "\\":
            return "it ends in a backslash"
        case "$" if rest[1:2] in {"'", '"'}:
            return "a quote is not closed"
        case "$" | "`":
            name = re.match(r"`|\$\{?\w*\}?", rest)
            return f"{name[0] if name else rest[0]} is for a shell to replace: write what it stands for"
    return f"{rest[0]!r} is for a shell: only curl commands can be played"
