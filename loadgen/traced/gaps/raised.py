"""Gaps of errors: what an exception that is recorded or replayed keeps alive."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io

from loadgen.traced.installing import when_installed
from loadgen.traced.tape import LiveLock, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable


def keep_frames_off_the_tape() -> None:
    """Hand the writer a copy of each exception, without the frames that it came through.

    The tape is written by a thread of its own, which holds an exception until it is written, and so its
    traceback, the frames there, and what their variables name. Where that is the last reference, the
    finalizers of the application's objects run on that thread, off the tape; a replay runs them on it.
    """

    def copying(on_error: Callable[..., None]) -> Callable[..., None]:
        def write(kind: object, error: BaseException, traceback: object) -> None:
            try:
                bare = copy.copy(error)  # as pickling it does, which is what the writer will do
            except Exception:  # noqa: BLE001 - an exception of any making
                bare = error
            on_error(kind, bare, traceback)

        return write

    def install(system: Any) -> None:
        if system.retrace_mode == "record":
            for hooks in ("primary_hooks", "secondary_hooks"):
                stock = getattr(system, hooks)
                on_error = system.disable_for(copying(stock.on_error), unwrap_args=False)
                setattr(system, hooks, stock._replace(on_error=on_error))

    when_installed(install)


def let_go_of_replayed_errors() -> None:
    """Leave an error that is replayed to whoever catches it.

    The engine raises it from a function in which it has a name: the error, its traceback and that frame then
    hold one another, and with the frames below all that the request had in hand. What is freed at the end of
    a function while recording would wait for a collection in the replay, and so would its finalizers.
    """

    class ErrorMessage(engine_io.ErrorMessage):  # type: ignore[misc]
        @property
        def error(self) -> BaseException:
            return self._error.pop()

        @error.setter
        def error(self, error: BaseException) -> None:
            self._error = [error]

    engine_io.ErrorMessage = ErrorMessage


def stay_where_the_recording_was_stopped() -> None:
    """Keep a replay alive where its recorded server was interrupted.

    That was loadgen's own signal: the recording is complete there. A main thread that waited in traced code,
    for a server that runs in another thread, would go on to the end of the program, and the replay would be
    gone before it is asked how it went.
    """
    stock = engine_io.ErrorMessage

    class ErrorMessage(stock):  # type: ignore[misc, valid-type]
        @property
        def error(self) -> BaseException:
            error = super().error
            if isinstance(error, KeyboardInterrupt):
                turns = TapeTurns.current
                turns.leave()
                forever = LiveLock()
                forever.acquire()
                forever.acquire()  # whoever drives the replay ends it
            return error  # type: ignore[no-any-return]

        @error.setter
        def error(self, error: BaseException) -> None:
            stock.error.fset(self, error)

    engine_io.ErrorMessage = ErrorMessage
