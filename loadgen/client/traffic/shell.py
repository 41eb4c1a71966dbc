"""Parses a list of commands in POSIX shell quoting into words with their lines; nothing is executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(
    r"""
      (?P<joint>\\\r?\n)
    | (?P<gap>[ \t\r]+)
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
    r"|u(?P<pair>[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a UTF-16 surrogate pair
    r"|u(?P<u>[0-9a-fA-F]{1,4})|U(?P<U>[0-9a-fA-F]{1,8})"
    r"|(?P<octal>[0-7]{1,3})|c(?P<control>.)|(?P<other>.))",
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
    **{one: one for one in "\\'\"?"},
}
_BRACES = re.compile(r"\{[^{}]*,[^{}]*\}|\{[^{},.]+\.\.[^{},.]+(?:\.\.[^{},.]+)?\}")
"""Pattern of text that a shell expands to several words."""
_DOUBLE = re.compile(r"\\(?P<escaped>[\"\\$`\n])|(?P<active>`|\$[\w{(])", re.DOTALL)


class ShellError(Exception):
    """A line that only a shell could interpret."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command, without its quotes."""

    text: str
    """Its bytes decoded as UTF-8, with surrogates for invalid bytes."""
    line: int


def commands(text: str) -> Iterator[list[Word]]:
    """Yield the commands of *text*, each as its words.

    Raises:
        ShellError: there is anything other than words, quotes, comments, and ends of commands.
    """
    words: list[Word] = []
    word: _Word | None = None
    at, line = 0, 1
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise ShellError(line, _refused(text[at:]))
        kind = found.lastgroup
        if kind == "hash" and word is None:
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if kind in {"gap", "end"}:
            if word is not None:
                words.append(word.joined())
                word = None
            if kind == "end" and words:
                yield words
                words = []
        elif kind != "joint":
            word = word or _Word(line)
            word.add(_unquoted(kind, found, line), is_quoted=kind not in {"plain", "hash"})
        line += found[0].count("\n")
        at = found.end()
    if word is not None:
        words.append(word.joined())
    if words:
        yield words


class _Word:
    """A word that is being parsed."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._text = ""
        self._bare = ""
        """The same with quoted characters replaced by a letter: the text that a shell would expand."""

    def add(self, text: str, *, is_quoted: bool) -> None:
        self._text += text
        self._bare += "q" * max(1, len(text)) if is_quoted else text

    def joined(self) -> Word:
        """Return the word.

        Raises:
            ShellError: a shell would expand it.
        """
        if self._bare.startswith("~"):
            raise ShellError(self._line, f"{self._text} would be expanded by a shell: write the path out")
        if found := _BRACES.search(self._bare):
            raise ShellError(
                self._line,
                f"{found[0]} would be expanded by a shell: write the words out, or quote it",
            )
        return Word(self._text, self._line)


def _unquoted(kind: str | None, found: re.Match[str], line: int) -> str:
    if kind == "ansi":
        text = _ANSI.sub(_escape, found["ansi"])
        if "\0" in text:
            raise ShellError(line, "a shell cuts off what is behind a zero byte: put the body into a file")
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
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
    if control := found["control"]:
        return chr(ord(control) & 0x1F)
    return _NAMED.get(found["other"], found[0])


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
            return f"{name[0] if name else rest[0]} would be expanded by a shell: write its value"
    return f"{rest[0]!r} would be expanded by a shell: only curl commands can be played"
