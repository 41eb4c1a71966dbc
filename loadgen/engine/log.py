"""Reads server logs: the exit code's meaning, the engine's first message, and a crash's last lines."""

from __future__ import annotations

import re
import signal
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from loadgen import protocol
from loadgen.core.verdict import Excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LAST_WORDS = 12
"""Maximum number of log lines quoted for a process that ended."""
BEFORE, AFTER = 3, 12
"""Number of lines quoted before and after the engine's first message."""

_CRASH = "Fatal Python error"
_CRASHED_THREAD = "Current thread"
_SHARED = (
    "The server opened an SQLite connection to {} for several threads. Python's sqlite3 crashes at random if "
    "they use it, without loadgen, too: docs/dependencies.md"
)
_FRAME = re.compile(r'( *)File "([^"]*)", line \d+')
_BENEATH = re.compile(r"<frozen |.*/(?:retracesoftware|loadgen/traced|importlib)/")
"""Files whose frames lie beneath the application's: Python's start and imports, the engine, and loadgen."""
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_MESSAGE = re.compile(
    rf"{re.escape(protocol.LOG_LEFT)}|{_CRASH}|Checkpoint difference|Could not read|Dispatcher:|"
    r"(?:\w+\.)*VersionMismatchError|retracesoftware[\w.]*Error"
)


def first_message(log: Path) -> Excerpt | None:
    """Return the first message of the engine, or of the boundary about it, with the lines around it."""
    before: deque[str] = deque(maxlen=BEFORE)
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                text = _plain(line)
                if _MESSAGE.match(text):
                    after = (_plain(more) for more in islice(lines, AFTER))
                    return Excerpt(number, (*before, text, *after), number - len(before))
                before.append(text)
    except OSError:
        pass
    return None


def _plain(line: str) -> str:
    return _COLOUR.sub("", line.rstrip("\n"))


def _of_application(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the frames of tracebacks that lie beneath the application's code.

    The last frame is kept if loadgen or the engine raised the exception.
    """
    beneath: list[str] = []
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            beneath = [line] if _BENEATH.match(frame[2]) else []
        elif beneath and line.startswith(" "):
            beneath.append(line)  # its source
        else:
            if beneath and not beneath[0].lstrip().startswith('File "<frozen'):
                yield from beneath
            beneath = []
        if not beneath:
            yield line


def ending(code: int) -> str:
    """Describe an exit code; a negative code is the number of the signal that killed the process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal: most have no name
        return f"killed by signal {-code}"


def last_words(log: Path) -> list[str]:
    """Return the stack of the crashed thread from a log, or its last lines if there was no crash.

    If the application did what is known to crash, the last line says so.
    """
    tail: deque[str] = deque(maxlen=LAST_WORDS)
    crash: list[str] = []
    shared: list[str] = []
    thread = False
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            for text in _of_application(map(_plain, lines)):
                tail.append(text)
                if text.startswith(protocol.LOG_SHARED):
                    shared = [_SHARED.format(text.removeprefix(protocol.LOG_SHARED))]
                if text.startswith(_CRASH):
                    crash, thread = [text], False
                elif crash and not text.startswith("  "):
                    thread = text.startswith(_CRASHED_THREAD)
                if thread and len(crash) < LAST_WORDS:
                    crash.append(text)
    except OSError:
        pass
    return [*crash, *shared] if crash else list(tail)
