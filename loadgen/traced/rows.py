"""Rows of a statement, which changed code may fetch in another way than it did.

``fetchall()``, ``fetchone()``, ``fetchmany()`` and iteration all give the rows of the last statement of a
cursor, in order. So the rows that were recorded for a statement answer any of them, as far as they reach.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loadgen.traced.ambient import is_plain
from loadgen.traced.described import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_FETCHES = re.compile(r".*[cC]ursor\.(fetchone|fetchmany|fetchall|__next__)$")

_ITERATES = re.compile(r".*[cC]ursor\.__iter__$")


def fetches(name: str) -> str:
    """Return the method by which the call *name* fetches rows; empty if it fetches none."""
    found = _FETCHES.match(name)
    return found[1] if found else ""


def iterates(name: str) -> bool:
    """Whether the call *name* only begins to iterate over the rows of a cursor, which returns the cursor."""
    return bool(_ITERATES.match(name))


class Rows:
    """The recorded rows of one statement; *steps* are the indices, calls and results that fetched them."""

    def __init__(self, steps: Iterable[tuple[int, Any, list[Any]]], *, borrowed: bool = False) -> None:
        self.borrowed = borrowed
        """Whether another request fetched them, so that *steps* are those of another thread."""
        self.steps: list[int] = []
        self.at = 0
        """Number of recorded steps that the running code has repeated."""
        self.differs = False
        """Whether it fetched rows in another way."""
        self._rows: list[Any] = []
        self._counts: list[int] = []
        self._whole = False
        """Whether the last row was recorded as such."""
        self._known = True
        for index, call, body in steps:
            self.steps.append(index)
            self._add(call, body)
            self._counts.append(len(self._rows))
        self._given = 0

    def repeats(self) -> None:
        """Note that the running code makes the next recorded step."""
        self._given = self._counts[self.at]
        self.at += 1

    def answer(self, method: str, described: Any) -> list[Any] | None:
        """Return what the tape would have for another way to fetch rows; None if that is not known."""
        self.differs = True
        rest = self._rows[self._given :] if self._known else []
        asked = described[2] if method == "fetchmany" and len(described) > 2 else 1  # noqa: PLR2004
        wanted = len(self._rows) + 1 if method == "fetchall" else asked
        if not self._known or not isinstance(wanted, int) or (len(rest) < wanted and not self._whole):
            return None
        given = rest[:wanted]
        self._given += len(given)
        if method in ("fetchall", "fetchmany"):
            return ["RESULT", given]
        if given:
            return ["RESULT", given[0]]
        return ["ERROR", StopIteration()] if method == "__next__" else ["RESULT", None]

    def _add(self, call: Any, body: list[Any]) -> None:
        method = fetches(name_of(call))
        if len(body) != 2:  # noqa: PLR2004 - objects of the tape, or callbacks
            self._known = False
        elif body[0] == "ERROR":
            self._whole = self._whole or isinstance(body[1], StopIteration)
            self._known = self._known and self._whole
        elif not is_plain(body[1]) and body[1] is not None:
            self._known = False
        elif method in ("fetchall", "fetchmany"):
            self._rows += body[1]
            asked = call[2] if method == "fetchmany" and len(call) > 2 else 1  # noqa: PLR2004
            fewer = isinstance(asked, int) and len(body[1]) < asked
            self._whole = self._whole or method == "fetchall" or fewer
        elif body[1] is None:
            self._whole = True
        else:
            self._rows.append(body[1])
