"""The stop of a traced server, by a signal: a recording is complete only if the server exits by itself.

The handler raises KeyboardInterrupt in the main thread, wherever that is. A server that answers requests in
this thread may catch it there as an error of the request, as wsgiref does. So its loop asks again.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from loadgen.traced import liveness

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    _Handler = Callable[[int, FrameType | None], object]

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_asked: list[int] = []
"""The signals that asked for a stop."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    signal.default_int_handler(number, frame)


def by_signals(*, records: bool) -> None:
    """Handle SIGTERM like SIGINT.

    Process 1 of a container would ignore a signal without a handler.
    """
    stop = _interrupt if records else liveness.leaving()
    for number in _NUMBERS:
        signal.signal(number, stop)


def wait_for_threads() -> None:
    """Wait for the threads that the program has started, as Python does when its main thread has ended.

    The engine closes the tape then, and the threads would go on without it: a server that one of them starts
    would be none of loadgen's.
    """
    me = threading.current_thread()
    try:
        while not _asked:
            others = [one for one in threading.enumerate() if not one.daemon and one is not me]
            if not others:
                return
            for one in others:
                one.join()
    except KeyboardInterrupt:
        threading._shutdown_locks.clear()  # type: ignore[attr-defined]  # Python waits no longer, either


def also(do: Callable[[], None]) -> None:
    """Have *do* called first when a signal asks for a stop."""
    for number in _NUMBERS:
        stop = signal.getsignal(number)
        assert callable(stop)  # the one of :func:`by_signals`
        signal.signal(number, _both(do, stop))


def _both(do: Callable[[], None], stop: _Handler) -> _Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        do()
        stop(number, frame)

    return handle


def not_lost(server: Any) -> Any:
    """Raise the interrupt again behind a request of *server*, one of socketserver's, that caught it."""
    for name in ("service_actions", "handle_request"):  # a loop calls the first behind each request
        setattr(server, name, _and_again(getattr(server, name)))
    return server


def _and_again(stock: Callable[[], object]) -> Callable[[], None]:
    def then() -> None:
        stock()
        if _asked:
            raise KeyboardInterrupt

    return then
