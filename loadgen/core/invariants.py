"""Invariants of a service that need no code: over what was asked and answered, in the order of the answers.

``--unique json:$.id``: no two answers have it. ``--monotonic json:$.total``: of two answers, one of which was
complete before the other was asked for, the later does not have less. ``--conserved json:$.sum``: all answers
have the same. An answer that has no such value, or is not a success, says nothing about it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from loadgen.core import json_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUCCESS = range(200, 300)
PREFIX = "json:"


@dataclass(frozen=True, slots=True)
class Answered:
    """One exchange of a history."""

    seq: int
    asked: float
    """When the request was sent, in any unit that orders events."""
    answered: float
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class BrokenInvariant:
    """An invariant that does not hold."""

    invariant: str
    """As it was given."""
    message: str
    """What contradicts it, in a sentence."""
    seqs: tuple[int, ...]
    """The requests that show it."""


class Invariant(Protocol):
    """What must hold of a history."""

    def check(self, history: Sequence[Answered]) -> BrokenInvariant | None:
        """Return the first contradiction, in the order of the answers."""


@dataclass(frozen=True, slots=True)
class _Valued:
    path: str
    """As it was given, with its ``json:``."""

    def _values(self, history: Sequence[Answered]) -> Iterator[tuple[Answered, Any]]:
        parsed = json_path.parse(self.path.removeprefix(PREFIX))
        for exchange in sorted(history, key=lambda one: one.answered):
            if exchange.status not in SUCCESS:
                continue
            try:
                text = exchange.body.decode()
                spans = json_path.find(text, [parsed])
            except (ValueError, RecursionError):
                continue
            for start, end in spans:
                yield exchange, json.loads(text[start:end])


@dataclass(frozen=True, slots=True)
class Unique(_Valued):
    """No two answers have the same value."""

    def check(self, history: Sequence[Answered]) -> BrokenInvariant | None:
        """Return the first value that comes again."""
        seen: dict[str, int] = {}
        for exchange, value in self._values(history):
            key = json.dumps(value, sort_keys=True)
            if key in seen:
                name = f"unique {self.path}"
                message = f"requests {seen[key]} and {exchange.seq} both got {key}"
                return BrokenInvariant(name, message, (seen[key], exchange.seq))
            seen[key] = exchange.seq
        return None


@dataclass(frozen=True, slots=True)
class Monotonic(_Valued):
    """Whoever asks when an answer is known gets no smaller value."""

    def check(self, history: Sequence[Answered]) -> BrokenInvariant | None:
        """Return the first answer with less than one that was known when it was asked for."""
        known: list[tuple[float, float, int]] = []
        for exchange, value in self._values(history):
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            before = [one for one in known if one[0] < exchange.asked]
            if before and value < (most := max(before, key=lambda one: one[1]))[1]:
                name = f"monotonic {self.path}"
                message = f"request {exchange.seq} got {value:g}, and request {most[2]} had got {most[1]:g}"
                return BrokenInvariant(name, message, (most[2], exchange.seq))
            known.append((exchange.answered, value, exchange.seq))
        return None


@dataclass(frozen=True, slots=True)
class Conserved(_Valued):
    """All answers have the same value."""

    def check(self, history: Sequence[Answered]) -> BrokenInvariant | None:
        """Return the first answer with another value than the first one."""
        first: tuple[int, str] | None = None
        for exchange, value in self._values(history):
            key = json.dumps(value, sort_keys=True)
            if first is None:
                first = exchange.seq, key
            elif key != first[1]:
                name = f"conserved {self.path}"
                message = f"request {first[0]} got {first[1]}, and request {exchange.seq} {key}"
                return BrokenInvariant(name, message, (first[0], exchange.seq))
        return None


def read(kind: type[Unique | Monotonic | Conserved], text: str) -> Invariant:
    """Return the invariant of *kind* that *text*, such as ``json:$.id``, means.

    Raises:
        ValueError: it is not such a path.
    """
    if not text.startswith(PREFIX):
        raise ValueError("it looks like json:$.name")
    json_path.parse(text.removeprefix(PREFIX))
    return kind(text)
