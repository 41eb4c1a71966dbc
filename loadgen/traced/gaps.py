"""Gaps of the engine, each closed by one function with its reason.

They are applied by the launcher before the engine starts. What module configuration can close is in
``overlay/loadgen.toml`` instead. Both were made for exactly one build of the engine: :data:`ENGINE_VERSION`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import stream, utils

from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE_VERSION = "0.2.30"


def follow_the_tape_in_turns() -> None:
    """Replace the stock dispatcher; see :mod:`loadgen.traced.tape` for the three reasons."""
    engine_io._ThreadDemuxSource = TapeTurns
    engine_io._ReplayBindingState = OrderedBindings


def fail_the_request_not_the_process() -> None:
    """Raise where the stock engine calls ``os._exit(1)``: one diverging request must not hide all others."""

    def on_desync(recorded: object, replayed: object) -> None:
        describe = engine_io._safe_debug_value
        raise Diverged(f"recorded {describe(recorded)}, replayed {describe(replayed)}")

    def on_unexpected(message: object) -> None:
        raise Diverged(f"recorded {engine_io._safe_debug_value(message)}, replayed a call that returns")

    engine_io.replayer.__kwdefaults__.update(on_desync=on_desync, on_unexpected=on_unexpected)


def bind_reused_addresses() -> None:
    """Let an object take over a stale binding that stands at its address.

    ``binder_dealloc`` swaps ``tp_dealloc`` while the original may drop the GIL; an object of that type freed
    meanwhile by another thread keeps its binding. The next object at that address then fails with "object
    is already bound": recording breaks the application, which answers 500 under contention.
    """

    class Binder(stream.Binder):  # type: ignore[misc]
        def bind(self, obj: object) -> Any:
            try:
                return super().bind(obj)
            except RuntimeError:
                return self.lookup(obj)

    stream.Binder = Binder


def unwrap_callbacks_off_the_tape() -> None:
    """Unwrap a wrapped callback before it is inspected.

    ``_unwrap_callable`` does a ``getattr`` on it, which is itself a traced call and reads the tape: SQLite's
    ``row_factory``, ``create_function`` and trace callbacks never replay.
    """
    unwrap_callable = engine_io._unwrap_callable

    def unwrap(value: object) -> object:
        return unwrap_callable(utils.unwrap(value) if isinstance(value, utils.InternalWrapped) else value)

    engine_io._unwrap_callable = unwrap


CLOSED: tuple[Callable[[], None], ...] = (
    follow_the_tape_in_turns,
    fail_the_request_not_the_process,
    bind_reused_addresses,
    unwrap_callbacks_off_the_tape,
)


def close() -> None:
    """Close every gap.

    Raises:
        SystemExit: the installed engine is not the one that this module was made for.
    """
    installed = version("retracesoftware")
    if installed != ENGINE_VERSION:
        raise SystemExit(
            f"loadgen: made for retracesoftware {ENGINE_VERSION}, found {installed}. "
            f"Install the matching engine: pip install retracesoftware=={ENGINE_VERSION}"
        )
    for gap in CLOSED:
        gap()
