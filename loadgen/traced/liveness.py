"""Liveness pipes: a server stops when the process that drives it is gone, so no server is left behind.

Locally this is a pipe that only the parent holds. In a container it is a connection that the driver, in
another container, holds until it exits. There, the byte :data:`STOP` also requests a stop, and
:data:`COMPLETE` is sent back when the recording is complete. The server then stays until its driver has left,
because the process that watches both containers treats the first exit as the end of the session.

On either, the byte :data:`RELEASE` says that all clients have ended, so open answers have no reader.

All functions are captured before the engine replaces them by recorded versions.
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
"""Seconds that a server without driver may take to finish its recording."""
ALONE = 300.0
"""Seconds that a server in a container waits for its driver to connect."""
STOP = b"s"
RELEASE = b"r"
COMPLETE = b"."


_on_release: list[Callable[[], None]] = []


def when_released(do: Callable[[], None]) -> None:
    """Have *do* called once all clients have ended, on a thread that is not traced."""
    _on_release.append(do)


def _release() -> None:
    for do in _on_release:
        do()


def end_what_it_started() -> None:
    """End the server's child processes with it, if it has its own process group."""
    pid, group, end, set_handler = os.getpid(), os.getpgrp(), os.killpg, signal.signal

    def at_exit() -> None:
        set_handler(signal.SIGTERM, signal.SIG_IGN)
        end(group, signal.SIGTERM)

    if pid == group != 1:  # the end of process 1 ends all processes of its container
        atexit.register(at_exit)  # registered before the engine's handlers, so it runs after them


def leaving() -> Callable[[int, object], None]:
    """Return a signal handler that ends a replay at once.

    A replay has nothing to complete, and its requests may wait inside the application for a turn that never
    comes: shutting down the interpreter around them can crash.
    """
    leave = os._exit

    def handle(number: int, frame: object) -> None:
        del number, frame
        leave(os.EX_OK)

    return handle


def hold_to_pipe(descriptor: int) -> None:
    """Stop when the other end of the pipe is closed."""
    read, stop = os.read, _stop()

    def watch() -> None:
        while said := read(descriptor, 1):
            if said == RELEASE:
                _release()
        stop(GRACE)

    threading.Thread(target=watch, name="loadgen-liveness", daemon=True).start()


def hold_to_connection(address: str) -> None:
    """Stop when the first connection to *address*, ``HOST:PORT``, ends or asks to."""
    driver = _Driver(address)
    atexit.register(driver.tell_complete)  # runs last, when the engine has closed the tape
    threading.Thread(target=driver.watch, name="loadgen-liveness", daemon=True).start()


class _Driver:
    """The process in another container that drives this server."""

    def __init__(self, address: str) -> None:
        import _socket  # noqa: PLC0415 - not socket: its classes would be built on what is not traced yet

        host, _, port = address.rpartition(":")
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(1)
        listener.settimeout(ALONE)
        self._accept, self._close = listener._accept, listener.close  # type: ignore[attr-defined]
        self._read, self._write, self._set_blocking = os.read, os.write, os.set_blocking
        self._set_handler, self._stop = signal.signal, _stop()
        gone = threading.Event()
        self._set_gone, self._wait_until_gone = gone.set, gone.wait
        self._descriptor = -1
        self._asked = False

    def watch(self) -> None:
        """Wait until the driver connects, and then until it requests a stop or disconnects."""
        try:
            self._descriptor, _ = self._accept()
        except TimeoutError:
            self._stop(GRACE)
        self._close()
        self._set_blocking(self._descriptor, True)
        while (said := self._hear()) == RELEASE:
            _release()
        if not said:
            self._stop(GRACE)
        self._asked = True
        self._stop(None)
        while self._hear():
            pass
        self._set_gone()

    def tell_complete(self) -> None:
        """Report to a driver that requested a stop that the recording is complete; wait until it leaves."""
        if not self._asked:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._set_handler(number, signal.SIG_IGN)
        try:
            self._write(self._descriptor, COMPLETE)
        except OSError:  # it disconnected meanwhile
            return
        self._wait_until_gone()

    def _hear(self) -> bytes:
        try:
            return self._read(self._descriptor, 1)
        except OSError:  # the driver was killed
            return b""


def _stop() -> Callable[[float | None], None]:
    """Return a function that interrupts this process, and ends it after a given grace period."""
    kill, pid, leave, wait = os.kill, os.getpid(), os._exit, threading.Event().wait

    def stop(grace: float | None) -> None:
        kill(pid, signal.SIGINT)
        if grace is not None:
            wait(grace)
            leave(os.EX_TEMPFAIL)

    return stop
