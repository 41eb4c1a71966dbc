"""Gaps of errors: objects that a recorded or replayed exception keeps alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io

from loadgen.traced.errors import copied
from loadgen.traced.installing import when_installed
from loadgen.traced.tape import LiveLock, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable


def keep_frames_off_the_tape() -> None:
    """Give the writer a copy of each exception, without its frames.

    A separate thread writes the tape. It holds an exception until it is written, and with it the traceback,
    its frames, and all their variables. If these are the last references, finalizers of the application's
    objects run on that thread, off the tape, whereas a replay runs them on the tape.
    """

    def copying(on_error: Callable[..., None]) -> Callable[..., None]:
        def write(kind: object, error: BaseException, traceback: object) -> None:
            on_error(kind, copied(error), traceback)

        return write

    def install(system: Any) -> None:
        if system.retrace_mode == "record":
            for hooks in ("primary_hooks", "secondary_hooks"):
                stock = getattr(system, hooks)
                on_error = system.disable_for(copying(stock.on_error), unwrap_args=False)
                setattr(system, hooks, stock._replace(on_error=on_error))

    when_installed(install)


def let_go_of_replayed_errors() -> None:
    """Drop the engine's reference to an error that it replays.

    The engine raises it from a function with a variable for it: the error, its traceback and that frame form
    a cycle, which also holds the frames below and the request's objects. Objects that are freed at the end of
    a function while recording would wait for a collection in the replay, and so would their finalizers.
    """

    class OneTimeErrorMessage(engine_io.ErrorMessage):  # type: ignore[misc]
        @property
        def error(self) -> BaseException:
            return self._error.pop()

        @error.setter
        def error(self, error: BaseException) -> None:
            self._error = [error]

    engine_io.ErrorMessage = OneTimeErrorMessage


def stay_where_the_recording_was_stopped() -> None:
    """Keep a replay alive at the point where its recorded server was interrupted.

    The interrupt was loadgen's own signal, and the recording is complete there. A main thread that waits in
    traced code for a server in another thread would continue to the end of the program, and the replay would
    exit before the verifier asks for its state.
    """
    stock = engine_io.ErrorMessage

    class StayingErrorMessage(stock):  # type: ignore[misc, valid-type]
        @property
        def error(self) -> BaseException:
            error = super().error
            if isinstance(error, KeyboardInterrupt):
                turns = TapeTurns.current
                turns.leave()
                forever = LiveLock()
                forever.acquire()
                forever.acquire()  # the verifier ends the replay
            return error  # type: ignore[no-any-return]

        @error.setter
        def error(self, error: BaseException) -> None:
            stock.error.fset(self, error)

    engine_io.ErrorMessage = StayingErrorMessage
