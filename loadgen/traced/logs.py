"""Logs: what the live server logs stays apart, and log lines of the application are the same in a replay.

An HTTP server's own log lines reach the handlers that the application has set up, such as those of the root
logger. The server is not traced. In a replay it would wait for a handler's lock that a request holds until
its turn, perhaps for good, because that turn may come only after the server's answer. A queue that the
application empties, or a file that it rotates, would change at a moment that is not on the tape. So in both
phases such lines go to standard error, in the handler's format.

A line may name its thread by an address. It gets the thread's number on the tape.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from loadgen.traced.installing import unseen, when_installed

_OWN = "_loadgen_own"
"""Attribute of a handler that traced code made."""
_TOLD = "_loadgen_told"
"""Attribute of a record that was written to standard error."""


def install(*, alone: bool) -> None:
    """Keep the live server's records apart, and make those of traced code what they were.

    Nothing of it if the engine is measured *alone*.
    """
    if not alone:
        for change in (_keep_apart, _number_threads):
            when_installed(change)


def _keep_apart(system: Any) -> None:
    """Give no record of code that is not traced to a handler of code that is."""
    traced, error = system.enabled, sys.stderr
    make, handle = logging.Handler.__init__, logging.Handler.handle

    @unseen
    def init(self: logging.Handler, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        if traced():
            self.__dict__[_OWN] = True

    @unseen
    def handled(self: logging.Handler, record: logging.LogRecord) -> Any:
        if _OWN not in self.__dict__ or traced():
            return handle(self, record)
        passes = self.filter(record)
        if passes and _TOLD not in record.__dict__:
            record.__dict__[_TOLD] = True
            try:
                error.write(f"{self.format(passes if passes is not True else record)}\n")
            except Exception:  # noqa: BLE001 - a formatter of the application; handled as by any handler
                self.handleError(record)
        return False

    logging.Handler.__init__ = init  # type: ignore[method-assign]
    logging.Handler.handle = handled  # type: ignore[method-assign]


def _number_threads(system: Any) -> None:
    traced, thread = system.enabled, system.thread_id
    make = logging.LogRecord.__init__

    @unseen
    def init(self: logging.LogRecord, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        if self.thread is not None and traced():
            self.thread = thread()

    logging.LogRecord.__init__ = init  # type: ignore[method-assign]
