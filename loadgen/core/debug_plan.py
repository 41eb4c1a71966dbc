"""What a replay is debugged for: which request, and where in it to stop."""

from __future__ import annotations

from loadgen.core.spec import Value


class DebugPlan(Value, frozen=True, kw_only=True):
    """Where to stop in a replay, and with which debugger."""

    request: int | None = None
    """Number of the request to follow; None: any, with :attr:`left`."""
    left: bool = False
    """Whether to stop where a request leaves the tape: that one, or the first."""
    to: int = 0
    """Number of the line to run to, as counted in an earlier replay; 0: the application's first line."""
    back: int = 0
    """Number of lines to go back from where the request leaves the tape."""
    breakpoints: tuple[tuple[str, int, str | None], ...] = ()
    """File, line and condition of each breakpoint."""
    dap: int = 0
    """Port on which a debug adapter listens; 0: pdb, in this terminal."""
    debugpy: str = ""
    """Folder from which the server imports debugpy, if :attr:`dap` is given."""
