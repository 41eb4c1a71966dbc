"""A debugger inside a replayed request.

Everything here runs in the replay that is debugged, with the engine's gate off: what a debugger reads, writes
and imports is not on the tape. While a person thinks at the prompt, the threads of other requests wait for
their turns, as they do for any slow request.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from loadgen.traced.debug.channel import Channel
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import Diverged, LiveLock, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from loadgen.traced.debug.knowledge import Knowledge


class Debugging:
    """What this replay is debugged for.

    The plan is :class:`loadgen.core.debug_plan.DebugPlan`, with the descriptor of the socket to the terminal,
    and the packages that the server's command names.
    """

    def __init__(self, plan: dict[str, Any], channel: Channel) -> None:
        self.plan = plan
        self.channel = channel
        self._mutex = LiveLock()
        self._seen: Knowledge | None = None
        self._left = False

    @contextmanager
    def request(self, system: Any, seq: int, what: str) -> Iterator[AbstractContextManager[Any]]:
        """Follow request *seq*, whose context, in which the application serves it, is given."""
        with self._mutex:
            if self._seen is None:
                self._seen = self._install(system)
        mine = seq == self.plan["request"]
        if not mine and not self.plan.get("left"):
            yield nullcontext()
            return
        with self._seen.following(FIRST_THREAD + seq):
            yield self._context(system, what) if mine else nullcontext()

    def _context(self, system: Any, what: str) -> AbstractContextManager[Any]:
        assert self._seen is not None
        if self.plan.get("dap"):
            from loadgen.traced.debug.adapter import Adapter  # noqa: PLC0415 - imports debugpy

            return Adapter(system, self.plan, self.channel, self._seen)
        from loadgen.traced.debug.stepping import Stepping  # noqa: PLC0415 - imports pdb

        return Stepping(system, self.plan, self.channel, self._seen, what)

    def _install(self, system: Any) -> Knowledge:
        from loadgen.traced.debug.knowledge import Knowledge  # noqa: PLC0415 - after the gaps are closed

        seen = Knowledge(system)
        if self.plan.get("left"):
            Diverged.seen = system.disable_for(self._leaves, unwrap_args=False)
        return seen

    def _leaves(self, why: str) -> None:
        """Stop where a request leaves the tape, the first time."""
        from loadgen.traced.debug.stepping import application_frame, stop_where_it_left  # noqa: PLC0415

        frame = application_frame()
        seq = TapeTurns.current.thread() - FIRST_THREAD
        if self._left or frame is None or self.plan["request"] not in (None, seq):
            return
        self._left = True
        assert self._seen is not None
        stop_where_it_left(self.plan, self.channel, self._seen, why, frame, seq)


def begin(plan: dict[str, Any]) -> None:
    """Connect to the terminal; before the engine starts."""
    CURRENT.append(Debugging(plan, Channel(plan["descriptor"])))


def following(system: Any, seq: int, what: str) -> AbstractContextManager[AbstractContextManager[Any]]:
    """Follow request *seq*, shown as *what*, if this process is debugged.

    Call it outside the trace. It gives a context in which the application serves the request.
    """
    return CURRENT[0].request(system, seq, what) if CURRENT else nullcontext(nullcontext())


CURRENT: list[Debugging] = []
"""The debugging of this process, if it is debugged."""
