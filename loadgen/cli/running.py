"""Runs a command so that Ctrl-C ends it cleanly."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, TypeVar

import anyio

from loadgen.core.stop import Stop
from loadgen.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def interruptible(call: Callable[[Stop], Awaitable[T]], *, at_once: bool = False) -> T:
    """Run *call*; the first Ctrl-C or SIGTERM requests a stop, the second (*at_once*: the first) cancels it.

    Raises:
        Interrupted: it was cancelled.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in _STOPPING}

    async def supervised() -> T:
        result: list[T] = []
        interrupted = False

        async def listen(scope: anyio.CancelScope) -> None:
            nonlocal interrupted
            with anyio.open_signal_receiver(*_STOPPING) as signals:
                async for _ in signals:
                    if stop.requested or at_once:
                        interrupted = True
                        scope.cancel()
                        break
                    stop.requested = True
                    print(
                        "loadgen: finishing requests in progress (interrupt again to stop at once)",
                        file=sys.stderr,
                    )
            for number in _STOPPING:  # a further one must not interrupt the clean-up, which is time-limited
                signal.signal(number, signal.SIG_IGN)

        async with anyio.create_task_group() as group:
            group.start_soon(listen, group.cancel_scope)
            try:
                result.append(await call(stop))
            finally:
                group.cancel_scope.cancel()
        if interrupted:
            raise Interrupted("interrupted")
        return result[0]

    try:
        return anyio.run(supervised)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
