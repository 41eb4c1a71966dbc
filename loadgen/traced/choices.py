"""The file of a scheduler's choices. Format ``loadgen-schedule/1``: one JSON object per line.

The first line names the strategy, the others what happened, in order. A thread number from ``FIRST_THREAD``
on is a request with this number minus ``FIRST_THREAD``; lower numbers are threads of the application::

    {"format": "loadgen-schedule/1", "strategy": "pct:3", "seed": 7, "points": "lines", "first": 1000000}
    {"choice": "line", "thread": 1000004, "step": 9, "point": 6, "to": 1000001, "at": "app.py:11 hit"}
    {"ran": 1000001, "step": 3, "at": "app.py:9 hit"}
    {"deadlock": [{"thread": 1000001, "at": "app.py:14 f", "holder": 1000002, "taken": "app.py:22 g"}, ...]}
    {"end": 1000001, "label": "POST /hit", "steps": 12}

``choice``: the thread that had the turn, at which of its steps, and the thread that got it. The kind says
why:
``line``, ``store`` and ``call`` are preemptions (the thread could have continued); for a preemption in the
application's own code, ``point`` is the number of the point in that thread, at which a replay switches too.
Otherwise the thread had to wait for a ``lock``, was in a ``slow`` call, waited ``off`` the tape, or reached
its ``end``; at a ``start`` no thread had the turn. ``ran``, if requested: the line that a thread is about to
run. ``at`` is the application's innermost line, with its file relative to the application's folder.

In a script, which repeats choices, the first line may also have ``users``: the number of the virtual user
that sent each request, in order. The requests are then sent in this order again.

A line is written completely before the choice takes effect; a truncated last line is ignored.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.traced.strategies import Choice, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "loadgen-schedule/1"


class Log:
    """Appends to the file; created before the engine replaces the functions that it uses."""

    def __init__(self, path: str, about: dict[str, Any]) -> None:
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._write = os.write
        self._encode = json.JSONEncoder(check_circular=False).encode
        self.add({"format": FORMAT, **about})

    def add(self, entry: dict[str, Any]) -> None:
        """Write a line."""
        self._write(self._file, f"{self._encode(entry)}\n".encode())


def entries(path: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a file, without its first line.

    Raises:
        ValueError: it does not have this format.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if not line.endswith("\n"):
                return
            entry = json.loads(line)
            if number:
                yield entry
            elif not isinstance(entry, dict) or entry.get("format") != FORMAT:
                raise ValueError(f"{path} is not a schedule of format {FORMAT}")


def script(path: str, users: int) -> Script:
    """Return a strategy that repeats the choices of a file, with as many virtual users."""
    choices, slow = [], []
    with Path(path).open(encoding="utf-8") as file:
        senders = json.loads(file.readline()).get("users", ())
    for entry in entries(path):
        if "choice" in entry:
            thread, step = entry["thread"], entry["step"]
            choices.append(Choice(thread, step, entry["choice"], entry["to"]))
            if entry["choice"] == "slow":
                slow.append((thread, step))
    return Script(choices, slow, users=users, senders=senders)


def preempted(path: str) -> dict[int, set[int]]:
    """Return, for each thread, the numbers of the points in its code at which it was preempted."""
    found: dict[int, set[int]] = {}
    for entry in entries(path):
        if "choice" in entry and entry.get("point"):
            found.setdefault(entry["thread"], set()).add(entry["point"])
    return found
