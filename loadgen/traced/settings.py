"""Settings of this process, passed on the command line of :mod:`loadgen.traced`.

The engine replaces ``os.environ`` with the recorded environment before the application starts, so settings
that differ between record and replay cannot be passed in the environment.
"""

from dataclasses import dataclass, field
from typing import Any

FIRST_THREAD = 1_000_000
"""Logical thread of request *seq* is ``FIRST_THREAD + seq``; the engine counts the application's from 0."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """Settings of this process; set once by the launcher, before the engine starts."""

    socket_fd: int = -1
    """Descriptor of the listening socket that the parent opened; -1 if ``bind`` is used."""

    bind: tuple[str, int] | None = None
    """Address to listen on if no socket was passed (in a container)."""

    health_path: str = "/health"
    """The only path served without a sequence number, outside the trace."""

    application: str = ""
    """Directory of the application under test, whose imports are traced."""

    packages: frozenset[str] = frozenset()
    """Packages of the application, which may be installed like libraries: the same holds for theirs."""

    schedule: str = "parallel"
    """How threads run while recording; see :mod:`loadgen.traced.schedule`."""

    explore: dict[str, Any] = field(default_factory=dict)
    """Settings of the schedule ``explore``; see :mod:`loadgen.traced.explore`."""

    aligned: tuple[tuple[str, str], ...] = ()
    """The table of call kinds, if a replay matches calls by what they ask because the code has changed."""

    alignment: str = ""
    """File for the report of such a replay, if it ends before it serves."""

    moved: list[tuple[str, str]] = field(default_factory=list)
    """Of a replay: folders that the recording names, and those of now; see :mod:`loadgen.traced.moved`."""

    interpreter: dict[str, str] = field(default_factory=dict)
    """With it: the paths that ``sys`` had of the interpreter and its environment."""

    without: frozenset[str] = frozenset()
    """Workarounds of :mod:`loadgen.traced.gaps` to leave out, to show what the engine does without them."""


CURRENT = Settings()
