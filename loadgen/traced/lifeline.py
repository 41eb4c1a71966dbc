"""Lifelines: a server stops when whoever drives it is gone, however that went, so none is ever left behind.

Locally it is a pipe that only the parent holds. In a container it is a connection that the driver, in another
container, holds until it exits. There one byte, :data:`STOP`, asks for a stop as well: the recording is
complete when :data:`COMPLETE` comes back. A server that was asked stays until its driver has left, because
what watches both containers takes the first end for that of the session.

Everything is captured before the engine replaces it by recorded versions.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 10.0
"""Seconds that a server whose driver is gone may take to finish its recording."""
ALONE = 300.0
"""Seconds that a server in a container waits for its driver to come."""
STOP = b"s"
COMPLETE = b"."


def hold_to_pipe(descriptor: int) -> None:
    """Stop when the other end of the pipe is closed."""
    read, stop = os.read, _stop()

    def watch() -> None:
        while read(descriptor, 1):
            pass
        stop(GRACE)

    threading.Thread(target=watch, name="loadgen-lifeline", daemon=True).start()


def hold_to_connection(address: str) -> None:
    """Stop when the first connection to *address*, ``HOST:PORT``, ends or asks to."""
    import socket  # noqa: PLC0415 - only where it is used: what is imported before the engine is not traced

    host, _, port = address.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=1)
    listener.settimeout(ALONE)
    accept, close = listener._accept, listener.close  # type: ignore[attr-defined]  # noqa: SLF001 - the bare call
    read, write, set_blocking, set_handler, stop = os.read, os.write, os.set_blocking, signal.signal, _stop()
    gone = threading.Event()
    left, wait_until_left = gone.set, gone.wait
    driver: list[int] = []
    asked: list[bytes] = []

    def hear() -> bytes:
        try:
            return read(driver[0], 1)
        except OSError:  # the driver was killed
            return b""

    def watch() -> None:
        try:
            driver.append(accept()[0])
        except TimeoutError:
            stop(GRACE)
        close()
        set_blocking(driver[0], True)
        if word := hear():
            asked.append(word)
            stop(None)
            while hear():
                pass
            left()
        else:
            stop(GRACE)

    def complete() -> None:
        if not asked:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            set_handler(number, signal.SIG_IGN)
        try:
            write(driver[0], COMPLETE)
        except OSError:  # it left meanwhile
            return
        wait_until_left()

    atexit.register(complete)  # the last handler to run: the engine has closed the tape by then
    threading.Thread(target=watch, name="loadgen-lifeline", daemon=True).start()


def _stop() -> Callable[[float | None], None]:
    """Return what interrupts this process, and makes an end of it where it takes longer than a given grace."""
    kill, pid, leave, wait = os.kill, os.getpid(), os._exit, threading.Event().wait

    def stop(grace: float | None) -> None:
        kill(pid, signal.SIGINT)
        if grace is not None:
            wait(grace)
            leave(os.EX_TEMPFAIL)

    return stop
