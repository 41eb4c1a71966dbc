"""The file of the choices that a scheduler made. Format ``loadgen-schedule/1``: a JSON object a line.

The first line says what chose, the others what happened, in order. A thread from ``FIRST_THREAD`` on is the
request of that number less ``FIRST_THREAD``; below it are threads of the application's own::

    {"format": "loadgen-schedule/1", "strategy": "pct:3", "seed": 7, "points": "lines", "first": 1000000}
    {"choice": "line", "thread": 1000004, "step": 9, "point": 6, "to": 1000001, "at": "app.py:11 hit"}
    {"ran": 1000001, "step": 3, "at": "app.py:9 hit"}
    {"deadlock": [{"thread": 1000001, "at": "app.py:14 f", "holder": 1000002, "taken": "app.py:22 g"}, ...]}
    {"end": 1000001, "label": "POST /hit", "steps": 12}

``choice``: who had the turn, at which of its steps, and who got it. Its kind says why: ``line``, ``store``
and ``call`` are preemptions (the thread could have gone on); with one in the application's own code,
``point`` is its number among those points of the thread, which is where a replay takes it. Else the thread
had to wait for a ``lock``, was in a ``slow`` call, waited ``off`` the tape, or came to its ``end``; in a
``start`` nobody had the turn. ``ran``, on request: the line that a thread is about to run. ``at`` is the
application's innermost line, its file relative to the application's folder.

A line is written whole, before the choice is acted upon; a last line that was cut off is left out.
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
    """Appends to the file; made before the engine replaces what it writes with."""

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
    """Yield what a file says, without its first line.

    Raises:
        ValueError: it is not of this format.
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


def script(path: str) -> Script:
    """Return the strategy that makes the choices of a file again."""
    choices, slow = [], []
    for entry in entries(path):
        if "choice" in entry:
            thread, step = entry["thread"], entry["step"]
            choices.append(Choice(thread, step, entry["choice"], entry["to"]))
            if entry["choice"] == "slow":
                slow.append((thread, step))
    return Script(choices, slow)


def preempted(path: str) -> dict[int, set[int]]:
    """Return for each thread the numbers of the points in its own code at which it was preempted."""
    found: dict[int, set[int]] = {}
    for entry in entries(path):
        if "choice" in entry and entry.get("point"):
            found.setdefault(entry["thread"], set()).add(entry["point"])
    return found
