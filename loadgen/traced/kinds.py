"""The kind of a call (effect, read, ambient, ...), by the verifier's table and a guess for SQL statements.

The guess decides which answers a call may get. The verifier, which has a parser, decides what it means for
the verdict.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loadgen.traced.described import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

EFFECT, READ, ENDS, STEP, AMBIENT, STATEMENT = "effect", "read", "ends", "step", "ambient", "statement"

_COMMENTS = r"[\s(]*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*[\s(]*"
_CHANGES = r"insert|update|delete|merge|into|for\s+share|nextval|setval"
_GUESSES = tuple(
    (re.compile(_COMMENTS + pattern, re.IGNORECASE | re.DOTALL), kind)
    for pattern, kind in (
        (r"(?:begin|start\s+transaction|savepoint|release)\b", STEP),
        (r"set\s+(?!.*\brole\b)", STEP),
        (r"(?:commit|end|rollback|abort)\b", ENDS),
        (r"pragma\s+[\w.]+\s*(?:\([^)]*\))?\s*;?\s*$", READ),
        (
            r"pragma\s+(?!journal_mode|user_version|application_id|auto_vacuum|page_size|encoding)\w+\s*=",
            STEP,
        ),
        (rf"(?:select|show|explain|values|describe|table|with)\b(?!.*\b(?:{_CHANGES})\b)", READ),
    )
)
_SEVERAL = re.compile(r";\s*\S")
_TO_WRITE = re.compile(r"[,=] ?'[rbtU]*[wax+][bt+]*'")


class Kinds:
    """Determines the kind of a call."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._rows = [(re.compile(pattern), kind) for pattern, kind in rows]
        self._names: dict[str, str] = {}

    def named(self, name: str) -> str:
        """Return the kind of a callable with this name."""
        kind = self._names.get(name)
        if kind is None:
            kind = next((kind for row, kind in self._rows if row.fullmatch(name)), EFFECT)
            self._names[name] = kind
        return kind

    def __call__(self, described: Any) -> str:
        """Return the kind of a call; for a statement, a guess."""
        name = described if isinstance(described, str) else str(described[0])
        kind = self.named(name)
        if name == "_io.open":
            return EFFECT if _TO_WRITE.search(shown(described)) else READ
        return guess(text_of(described)) if kind == STATEMENT else kind


def guess(statement: str) -> str:
    """Guess the kind of a statement."""
    kind = next((kind for pattern, kind in _GUESSES if pattern.match(statement)), EFFECT)
    return EFFECT if kind != READ and _SEVERAL.search(statement) else kind


def text_of(described: Any) -> str:
    """Return the first text among the arguments of a call, such as an SQL statement."""
    parts = () if isinstance(described, str) else described[1:]
    text = next((one for one in parts if isinstance(one, (str, bytes))), "")
    return text.decode("latin-1") if isinstance(text, bytes) else text


def verb_of(described: Any) -> str:
    """Return the first word of a statement, in lower case."""
    return next(iter(text_of(described).split(None, 1)), "").lower()
