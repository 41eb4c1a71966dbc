"""The entries of a schedule, as values; :mod:`loadgen.traced.choices` specifies the format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = "loadgen-schedule/1"
FIRST = 1_000_000
"""The thread of request *n* is ``FIRST + n``; lower numbers are threads of the application."""
_PREEMPTED = frozenset({"line", "store", "call"})
_TIMING = frozenset({"slow", "off"})
_SAYS = {"line": "", "store": "inside ", "call": ""}


@dataclass(frozen=True, slots=True)
class Choice:
    """A thread gave up its turn to another one."""

    kind: str
    thread: int | None
    step: int
    to: int | None
    at: str = ""
    point: int = 0

    @property
    def is_preemption(self) -> bool:
        """Whether the thread could have continued."""
        return self.kind in _PREEMPTED

    @property
    def is_timing(self) -> bool:
        """Whether it depended on how long a call, or something that is not recorded, took."""
        return self.kind in _TIMING

    def __str__(self) -> str:
        """Describe it in words."""
        at = f" at {location(self.at)}" if self.at else ""
        return f"{name(self.thread)} was stopped{at}, and {name(self.to)} went on"

    def line(self) -> str:
        """Return its line for a script."""
        fields: dict[str, Any] = {
            "choice": self.kind,
            "thread": self.thread,
            "step": self.step,
            "to": self.to,
        }
        if self.point:
            fields["point"] = self.point
        return json.dumps({**fields, "at": self.at} if self.at else fields)


@dataclass(frozen=True, slots=True)
class Ran:
    """A thread is about to run a line."""

    thread: int
    step: int
    at: str


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Threads wait for each other's locks."""

    waits: tuple[tuple[int, str, int, str], ...]
    """For each thread: the thread, where it waits, the holder, and where the holder took the lock."""

    def __str__(self) -> str:
        """Describe it in words."""
        return "; ".join(
            f"{name(thread)} at {location(at)} waits for a lock that {name(holder)} took at {location(taken)}"
            for thread, at, holder, taken in self.waits
        )

    @property
    def locations(self) -> str:
        """Return the waiting lines, independent of which thread is at which."""
        return ", ".join(sorted({location(at) for _, at, _, _ in self.waits}))


@dataclass(frozen=True, slots=True)
class Ended:
    """A thread has ended."""

    thread: int
    label: str
    steps: int


Entry = Choice | Ran | Deadlock | Ended


def name(thread: int | None) -> str:
    """Return the name of a thread."""
    if thread is None:
        return "nobody"
    return f"request {thread - FIRST}" if thread >= FIRST else f"the application's thread {thread}"


def threads(choices: Iterable[Choice]) -> frozenset[int]:
    """Return the threads that are stopped or continue in *choices*."""
    both = (one for choice in choices for one in (choice.thread, choice.to))
    return frozenset(one for one in both if one is not None)


def location(at: str) -> str:
    """Return file and line of a location, without its function."""
    return at.rpartition(" ")[0] or at


def parse(lines: Iterable[str]) -> list[Entry]:
    """Return the entries of a schedule.

    Raises:
        ValueError: it is not a schedule.
    """
    entries: list[Entry] = []
    for number, line in enumerate(lines):
        if not line.endswith("\n"):
            break  # cut off
        fields = json.loads(line)
        if not number:
            if not isinstance(fields, dict) or fields.get("format") != FORMAT:
                raise ValueError(f"it is not of format {FORMAT}")
        elif (entry := _entry(fields)) is not None:
            entries.append(entry)
    return entries


def _entry(fields: Mapping[str, Any]) -> Entry | None:
    match fields:
        case {"choice": kind, "thread": thread, "step": step, "to": to}:
            return Choice(kind, thread, step, to, fields.get("at", ""), fields.get("point", 0))
        case {"ran": thread, "step": step, "at": at}:
            return Ran(thread, step, at)
        case {"deadlock": waits}:
            return Deadlock(tuple((one["thread"], one["at"], one["holder"], one["taken"]) for one in waits))
        case {"end": thread, "label": label, "steps": steps}:
            return Ended(thread, label, steps)
    return None


def script(choices: Sequence[Choice], users: Sequence[int]) -> str:
    """Return the content of a script file that repeats these choices; *users* sent the requests, in order."""
    head = json.dumps({"format": FORMAT, "strategy": "script", "users": users})
    return "".join(f"{line}\n" for line in (head, *(choice.line() for choice in choices)))


def users(lines: Iterable[str]) -> list[int]:
    """Return the virtual users that sent the requests of a script file, in order; empty if it does not say.

    Raises:
        ValueError: it is not a script.
    """
    fields = json.loads(next(iter(lines), ""))
    found = fields.get("users", []) if isinstance(fields, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, int) for one in found):
        raise ValueError("its first line does not name the users of its requests")
    return found


def steps(entries: Iterable[Entry]) -> dict[str, int]:
    """Return the number of steps of each kind of request, and of the threads that the application starts."""
    found: dict[str, int] = {}
    for entry in entries:
        if isinstance(entry, Ended) and entry.thread:
            found[entry.label] = max(entry.steps, found.get(entry.label, 0))
    return found
