"""Strings on the tape: which of them are stored once.

The engine numbers the strings that it writes in full, and writes an interned string that it has written
before as its number, of which it keeps 16 bits. On a tape with more than 65,536 strings, an interned string
that is new is read back as another string from its second time on. The empty string, single characters,
identifiers, and the engine's own tags are interned.

The engine's reader keeps every string that was written in full, so a replay would grow with each request. A
string that comes again is therefore stored once.
"""

from __future__ import annotations

import sys
from typing import Any

from retracesoftware import stream

ROOM = 60_000
"""Number of strings after which no further string is stored once; the engine may have written some unseen."""
LONGEST = 200
"""Only shorter strings, in characters, are stored once because they come again."""
REMEMBERED = 4096
"""Number of strings that are remembered after they came for the first time."""
_TAGS = (
    *(
        "CALL",
        "RESULT",
        "ERROR",
        "CALLBACK",
        "CALLBACK_RESULT",
        "CALLBACK_ERROR",
        "SYNC",
        "TOOK",
        "CHECKPOINT",
    ),
    *("NEW_BINDING", "BINDING_DELETE", "THREAD_SWITCH", "ON_START", "ON_END", "STACKTRACE"),
)


class Strings:
    """The strings of one tape."""

    def __init__(self) -> None:
        self._once: dict[str, str] = {}
        self._came: set[str] = set()
        self._count = 0

    def once(self, text: str) -> str:
        """Return *text* as the object that the tape stores once, while there is room for it."""
        known = self._once.get(text)
        if known is None:
            if self._count >= ROOM:
                return text
            self._count += 1
            known = self._once[text] = sys.intern(text)
        return known

    def written(self, value: Any) -> Any:
        """Return a copy of *value* that is read back as it is.

        Lists, tuples, dictionaries, sets and bytearrays are copied; other objects are returned as they are.
        """
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is list or kind is tuple:
            return kind(map(self.written, value))
        if kind is dict:
            return {self.written(key): self.written(item) for key, item in value.items()}
        if kind is set or kind is bytearray:
            return kind(value)
        return value

    def _text(self, text: str) -> str:
        known = self._once.get(text)
        if known is not None:
            return known
        if self._count >= ROOM:
            return _new(text)
        if len(text) < LONGEST and self._came_before(text):
            return self.once(text)
        self._count += 1
        return text

    def _came_before(self, text: str) -> bool:
        if text in self._came:
            return True
        if len(self._came) >= REMEMBERED:
            self._came.clear()
        self._came.add(text)
        return False

    def reserve(self, intern: Any) -> None:
        """Let the tape store the strings once that cannot be copied, or are not seen here, by *intern*."""
        for text in ("", *map(chr, range(256)), *_TAGS):
            self._once[text] = sys.intern(text)
            intern(self._once[text])


def _new(text: str) -> str:
    """Return a copy of *text* that is not interned."""
    if len(text) > 1:
        return text[:1] + text[1:]
    return text.encode("utf-32", "surrogatepass").decode("utf-32", "surrogatepass")


TAPE = Strings()
"""The strings of the tape that this process writes."""


def reserve_the_first_strings() -> None:
    """Reserve numbers when the engine creates its writer."""

    class Writer(stream.writer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            TAPE.reserve(self._intern)

    stream.writer = Writer
