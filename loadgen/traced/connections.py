"""The threads of a live server that serves each connection in a thread of its own.

The application does not run in them: each request has a thread of its own on the tape (see
:mod:`loadgen.traced.boundary`). So they serve one connection after the other; to start one for each took a
tenth of the time of a replay of small requests.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from loadgen.traced.tape import LiveLock

if TYPE_CHECKING:
    from collections.abc import Callable


class PromptThread(threading.Thread):
    """A thread whose creator does not wait until it runs, which takes two switches of threads."""

    def start(self) -> None:
        """Start the thread."""
        limbo: dict[threading.Thread, threading.Thread] = threading._limbo  # type: ignore[attr-defined]
        guard = threading._active_limbo_lock  # type: ignore[attr-defined]
        with guard:
            limbo[self] = self
        try:
            threading._start_new_thread(self._bootstrap, ())  # type: ignore[attr-defined]
        except BaseException:
            with guard:
                del limbo[self]
            raise


class _Worker:
    """A thread that serves connections, and waits for the next one meanwhile."""

    __slots__ = ("connection", "wake")

    def __init__(self, *connection: Any) -> None:
        self.connection = connection
        self.wake = LiveLock()
        self.wake.acquire()


def kept(server: Any) -> Any:
    """Let the threads of *server*, one of socketserver's, serve more than one connection."""
    import socketserver  # noqa: PLC0415 - a module that the engine shall know

    stock = socketserver.ThreadingMixIn.process_request
    if getattr(type(server), "process_request", None) is stock and server.daemon_threads:
        server.process_request = _serving(server.process_request_thread)
    return server


def _serving(serve: Callable[..., None]) -> Callable[..., None]:
    """Return a function that has a connection served by *serve*, in a thread."""
    idle: list[_Worker] = []
    known: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]

    def work(mine: _Worker) -> None:
        me = threading.current_thread()
        while True:
            connection, mine.connection = mine.connection, ()
            serve(*connection)
            del connection
            known.pop(get_ident(), None)  # an application that counts its threads does not see it
            idle.append(mine)
            mine.wake.acquire()
            known[get_ident()] = me

    def process_request(*connection: Any) -> None:
        try:
            mine = idle.pop()
        except IndexError:
            mine = _Worker(*connection)
            PromptThread(target=work, args=(mine,), name="loadgen-connection", daemon=True).start()
        else:
            mine.connection = connection
            mine.wake.release()

    return process_request
