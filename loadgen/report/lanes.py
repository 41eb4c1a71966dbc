"""The schedule of an explored run as lanes: the lines that each request ran, and where it was stopped.

Source lines are shown if their file is unchanged; without a trace of the executed lines, a turn has only the
line at which it ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.core import schedules
from loadgen.core.schedules import Choice, Deadlock, Ended, Ran
from loadgen.store.files import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadgen.core.masking import Masker
    from loadgen.core.schedules import Entry
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

MOST_TURNS = 2000
"""Largest number of turns on a page."""
AROUND = 4
"""Number of lines shown before and after an important one."""


@dataclass(slots=True)
class LaneTurn:
    """The lines that one thread ran before another one continued."""

    thread: int
    lines: list[str] = field(default_factory=list)
    """Lines in order; a repeated line, as in a loop, is listed once."""
    why: str = ""
    """Why it ended: the kind of the choice; empty at the end of the recording."""
    to: int | None = None
    at: str = ""
    """Where it was stopped."""


def turns(entries: Sequence[Entry]) -> list[LaneTurn]:
    """Return the turns of a schedule, in order."""
    found: list[LaneTurn] = []
    last: dict[int, Ran] = {}
    held: dict[int, str] = {}

    def current(thread: int) -> LaneTurn:
        if not found or found[-1].thread != thread or found[-1].why:
            found.append(LaneTurn(thread, [held.pop(thread)] if thread in held else []))
        return found[-1]

    for entry in entries:
        match entry:
            case Ran():
                last[entry.thread] = entry
                turn = current(entry.thread)
                if entry.at not in turn.lines[-1:]:
                    turn.lines.append(entry.at)
            case Choice(thread=int(thread)):
                turn = current(thread)
                turn.why, turn.to, turn.at = entry.kind, entry.to, entry.at
                if entry.kind == "line" and entry.at in turn.lines[-1:]:
                    held[thread] = turn.lines.pop()  # it was stopped before this line
            case Ended():
                current(entry.thread)
    return [turn for turn in found if turn.thread >= schedules.FIRST or turn.lines]


class SourceLines:
    """The application's source lines, from unchanged files."""

    def __init__(self, folder: str, digests: Mapping[str, str]) -> None:
        self._folder = Path(folder)
        self._digests = digests
        self._files: dict[str, list[str]] = {}

    def lines(self, file: str) -> list[str]:
        """Return the lines of *file*; empty if it has changed or does not exist."""
        if file not in self._files:
            path = self._folder / file
            try:
                same = digest(path) == self._digests.get(str(path))
                text = path.read_text(encoding="utf-8") if same else ""
            except (OSError, ValueError):
                text = ""
            self._files[file] = text.splitlines()
        return self._files[file]

    def line(self, file: str, number: int) -> str:
        """Return a line; empty if unknown."""
        lines = self.lines(file)
        return lines[number - 1] if 0 < number <= len(lines) else ""


def split(at: str) -> tuple[str, int, str]:
    """Return file, line and function of a location."""
    where, _, function = at.rpartition(" ")
    file, _, line = where.rpartition(":")
    return file, int(line) if line.isdigit() else 0, function


def lanes(run: RunFolder, manifest: Manifest, masker: Masker) -> dict[str, Any] | None:
    """Return the page's data on the schedule of *run*; None if it was not explored, or cannot be read."""
    entries = _entries(run)
    every = turns(entries)
    if not every:
        return None
    sources = SourceLines(manifest.result.started.code, manifest.sources)
    threads = list(dict.fromkeys(turn.thread for turn in every))
    locations: dict[str, int] = {}

    def index(at: str) -> int:
        return locations.setdefault(at, len(locations)) if at else -1

    shown = [
        {
            "lane": threads.index(turn.thread),
            "lines": [index(at) for at in turn.lines],
            "why": turn.why,
            "to": threads.index(turn.to) if turn.to in threads else -1,
            "at": index(turn.at),
        }
        for turn in every[:MOST_TURNS]
    ]
    race = _race(run)
    return {
        "strategy": manifest.spec.explore.strategy if manifest.spec.explore.script is None else "script",
        "points": str(manifest.spec.explore.points),
        "lanes": [{"name": schedules.name(one), "seq": max(one - schedules.FIRST, 0)} for one in threads],
        "locations": [_described(at, sources, masker) for at in locations],
        "turns": shown,
        "more": len(every) - len(shown),
        "story": [masker.text(line) for line in _story(race, entries)],
        "excerpts": _excerpts((race or {}).get("pair"), sources, masker),
    }


def broke(run: RunFolder) -> list[str]:
    """Return what an explored run broke: what a hunt says of it, and its deadlocks; empty if nothing did."""
    found = [str((_race(run) or {}).get("race", {}).get("message") or "")]
    for one in dict.fromkeys(str(entry) for entry in _entries(run) if isinstance(entry, Deadlock)):
        if one not in found[0]:
            found.append(f"deadlock: {one}")
    return [one for one in found if one]


def _entries(run: RunFolder) -> list[Entry]:
    try:
        with run.schedule.open(encoding="utf-8") as file:
            return schedules.parse(file)
    except (OSError, ValueError):
        return []


def _story(race: Mapping[str, Any] | None, entries: Sequence[Entry]) -> list[str]:
    """Return how it came to what broke, without what did, which is the headline of the page."""
    told = (race or {}).get("race", {})
    dead = {str(one) for one in entries if isinstance(one, Deadlock)}
    return [
        line.removesuffix(f": {told.get('message')}") for line in told.get("story", ()) if line not in dead
    ]


def _described(at: str, sources: SourceLines, masker: Masker) -> dict[str, Any]:
    file, line, function = split(at)
    return {
        "file": masker.text(file),
        "line": line,
        "function": function,
        "code": masker.text(sources.line(file, line).strip()),
    }


def _race(run: RunFolder) -> dict[str, Any] | None:
    """Return the description of the race, if the run is the smallest case of one."""
    try:
        content = json.loads((run.path / "race.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _excerpts(pair: Mapping[str, Any] | None, sources: SourceLines, masker: Masker) -> list[dict[str, Any]]:
    """Return the two lines of a race, each with the surrounding lines of its file."""
    if not pair:
        return []
    stopped, other = schedules.name(pair["stopped"]), schedules.name(pair["other"])
    where = "in the middle of" if pair["inside"] else "before" if pair["at"] else "after"
    wanted = (
        (f"{stopped} was stopped {where} the marked line", str(pair["at"] or pair["after"])),
        (f"{other} ran the marked line in between", str(pair["ran"])),
    )
    found = []
    for title, at in wanted:
        file, line, _ = split(at)
        first = max(1, line - AROUND)
        lines = sources.lines(file)[first - 1 : line + AROUND]
        if lines:
            found.append(
                {
                    "title": title,
                    "file": masker.text(file),
                    "first": first,
                    "marked": line,
                    "lines": [masker.text(one) for one in lines],
                }
            )
    return found
