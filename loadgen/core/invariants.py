"""Invariants of a service: what must hold of its answers, whatever ran at the same time.

``--unique json:$.id``: no two answers have the same value. ``--monotonic json:$.total``: of two answers, the
first of which was complete before the second was asked for, the second does not have less. ``--conserved
json:$.sum``: all answers have the same value. Answers that have no such value, and answers that are not 2xx,
are ignored; if no answer has one, nothing was checked, and the result is undetermined. A model is an
invariant, too: :mod:`loadgen.core.model`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from loadgen.core import json_path
from loadgen.core.exchange import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.history import Operation

SUCCESS = range(200, 300)
PREFIX = "json:"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking an invariant."""

    invariant: str
    """The option as given."""
    holds: bool | None
    """None: undetermined."""
    message: str
    """The contradiction, how much was checked, or why it is undetermined, in a sentence."""
    seqs: tuple[int, ...] = ()
    """The requests that contradict it."""
    details: tuple[str, ...] = ()
    """Those requests, a line each, where the sentence has no room for them."""


class Invariant(Protocol):
    """A condition on a history of exchanges."""

    def check(self, history: Sequence[Operation]) -> Checked:
        """Return the first contradiction, in the order of the answers."""


@dataclass(frozen=True, slots=True)
class _Valued:
    path: str
    """The path as given, with ``json:``."""

    def _values(self, history: Sequence[Operation]) -> list[tuple[Operation, Any]]:
        parsed = json_path.parse(self.path.removeprefix(PREFIX))
        found = []
        for one in sorted(history, key=lambda one: one.answered):
            if not isinstance(one.outcome, Response) or one.outcome.status not in SUCCESS:
                continue
            try:
                text = one.outcome.body.decode()
                spans = json_path.find(text, [parsed])
            except (ValueError, RecursionError):
                continue
            found += [(one, json.loads(text[start:end])) for start, end in spans]
        return found

    def _held(self, name: str, values: Sequence[object]) -> Checked:
        if values:
            return Checked(name, holds=True, message=f"{len(values)} values")
        return Checked(name, holds=None, message=f"no answer has a value at {self.path}")


@dataclass(frozen=True, slots=True)
class Unique(_Valued):
    """No two answers have the same value."""

    def check(self, history: Sequence[Operation]) -> Checked:
        """Return the first repeated value."""
        name, seen = f"unique {self.path}", dict[str, int]()
        values = self._values(history)
        for one, value in values:
            key = json.dumps(value, sort_keys=True)
            if key in seen:
                both = (seen[key], one.seq)
                message = f"requests {seen[key]} and {one.seq} both got {key}"
                if seen[key] == one.seq:
                    message = f"request {one.seq} got {key} twice"
                return Checked(name, holds=False, message=message, seqs=both)
            seen[key] = one.seq
        return self._held(name, values)


@dataclass(frozen=True, slots=True)
class Monotonic(_Valued):
    """A request that is sent after an answer was received does not get a smaller value."""

    def check(self, history: Sequence[Operation]) -> Checked:
        """Return the first answer with a smaller value than one received before its request was sent."""
        name, known = f"monotonic {self.path}", list[tuple[float, float, int]]()
        for one, value in self._values(history):
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            before = [earlier for earlier in known if earlier[0] < one.asked]
            if before and value < (most := max(before, key=lambda earlier: earlier[1]))[1]:
                message = f"request {one.seq} got {value}, and request {most[2]} had got {most[1]}"
                return Checked(name, holds=False, message=message, seqs=(most[2], one.seq))
            known.append((one.answered, value, one.seq))
        return self._held(name, known)


@dataclass(frozen=True, slots=True)
class Conserved(_Valued):
    """All answers have the same value."""

    def check(self, history: Sequence[Operation]) -> Checked:
        """Return the first answer with a value that differs from the first one."""
        name, first = f"conserved {self.path}", None
        values = self._values(history)
        for one, value in values:
            key = json.dumps(value, sort_keys=True)
            if first is None:
                first = one.seq, key
            elif key != first[1]:
                message = f"request {first[0]} got {first[1]}, and request {one.seq} {key}"
                return Checked(name, holds=False, message=message, seqs=(first[0], one.seq))
        return self._held(name, values)


def check_path(text: str) -> None:
    """Refuse anything other than a path such as ``json:$.id``.

    Raises:
        ValueError: it is not.
    """
    if not text.startswith(PREFIX):
        raise ValueError("write the field as json:$.name")
    json_path.parse(text.removeprefix(PREFIX))
