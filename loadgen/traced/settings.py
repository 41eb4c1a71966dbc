"""What the two phases do differently, handed over on the command line of :mod:`loadgen.traced`.

The engine replaces ``os.environ`` with the recorded environment before the application starts, so nothing
that may differ between record and replay can travel in the environment.
"""

from dataclasses import dataclass, field
from typing import Any

FIRST_THREAD = 1_000_000
"""Logical thread of request *seq* is ``FIRST_THREAD + seq``; the engine counts the application's from 0."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """How this process serves; filled in once by the launcher, before the engine starts."""

    socket_fd: int = -1
    """Descriptor of the listening socket that the parent opened; -1 where ``bind`` says what to open."""

    bind: tuple[str, int] | None = None
    """Address to listen on where no socket was handed over (in a container)."""

    health_path: str = "/health"
    """The one path that may be asked without a sequence number; it is served outside the trace."""

    application: str = ""
    """Directory of the application under test: what its modules do when they are imported is traced."""

    schedule: str = "parallel"
    """How threads run while recording; see :mod:`loadgen.traced.schedule`."""

    explore: dict[str, Any] = field(default_factory=dict)
    """With the schedule ``explore``: what chooses, and where; see :mod:`loadgen.traced.explore`."""

    aligned: tuple[tuple[str, str], ...] = ()
    """The table of calls, where a replay matches them by what they ask: its code is not what was recorded."""

    alignment: str = ""
    """File for what such a replay asked, where it ends before it serves."""

    without: frozenset[str] = frozenset()
    """Workarounds of :mod:`loadgen.traced.gaps` left out, to show what the engine does without them."""


CURRENT = Settings()
