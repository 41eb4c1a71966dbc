"""Gaps of a replay: the order of threads, and differences from the recording."""

from __future__ import annotations

import re
from typing import Any

import retracesoftware.proxy.io as engine_io

from loadgen import protocol
from loadgen.traced import calls, settings
from loadgen.traced.aligned import AlignedBindings, AlignedTape
from loadgen.traced.described import shown as shown_call
from loadgen.traced.tape import Diverged, OrderedBindings, TapeTurns


def follow_the_tape_in_turns() -> None:
    """Replace the engine's dispatcher; :mod:`loadgen.traced.tape` has the reasons."""
    by_asking = bool(settings.CURRENT.aligned)
    engine_io._ThreadDemuxSource = AlignedTape if by_asking else TapeTurns
    engine_io._ReplayBindingState = AlignedBindings if by_asking else OrderedBindings


def fail_the_request_not_the_process() -> None:
    """Raise where the engine calls ``os._exit(1)``: one diverging request must not end all others."""

    def on_desync(recorded: object, replayed: object) -> None:
        TapeTurns.current.leave()
        if isinstance(recorded, list) and isinstance(replayed, list):
            # The stacks of a recording with stacks; the engine passes them in the opposite order.
            there, here = (
                _caller(stack, other) for stack, other in ((replayed, recorded), (recorded, replayed))
            )
            what = f"the recording makes its next call from {there}, the replay from {here}"
            raise Diverged(protocol.ANOTHER_CALL, what)
        here = _described(replayed)
        if replayed is engine_io.CallMarkerMessage and (asked := TapeTurns.current.asks()) is not None:
            here = f"the call {shown_call(asked)}"
        message = f"the recording has {_described(recorded)} here, the replay {here}"
        raise Diverged(protocol.ANOTHER_CALL, message, getattr(recorded, "value", recorded), replayed)

    def on_unexpected(message: object) -> None:
        TapeTurns.current.leave()
        what = f"the recording has {_described(message)} here, the replay the result of a call"
        raise Diverged(protocol.ANOTHER_CALL, what)

    engine_io.replayer.__kwdefaults__.update(on_desync=on_desync, on_unexpected=on_unexpected)


_MESSAGES = {
    "OnStartMessage": "the start of a thread",
    "CallMarkerMessage": "a call",
    "ResultMessage": "the result of a call",
    "ErrorMessage": "the error of a call",
    "CallbackMessage": "a call back into the application",
    "CallbackResultMessage": "the result of a call back",
    "CallbackErrorMessage": "the error of a call back",
    "CheckpointMessage": "a checkpoint",
}


def _described(message: object) -> str:
    """Describe a message of the engine, a type of message, or a recorded call in words."""
    value = getattr(message, "value", message)
    if isinstance(message, calls.DescribedCall):
        return f"the call {shown_call(message.described)}"
    if isinstance(value, dict) and "function" in value:  # of a recording with stacks
        function = value["function"]
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '?')}"
        parts = [shown(one) for one in value.get("args", ())]
        parts += [f"{key}={shown(one)}" for key, one in value.get("kwargs", {}).items()]
        return f"the call {name.lstrip('.')}({', '.join(parts)})"
    name = message.__name__ if isinstance(message, type) else type(message).__name__
    return _MESSAGES.get(name) or shown(message)


def shown(value: object) -> str:
    """Show a value without its address, which differs in each replay."""
    if hasattr(value, "handle"):
        return "an object"
    return re.sub(r" object at 0x[0-9a-f]+|\w+:[\w.]+\.(?=<)", "", str(engine_io._safe_debug_value(value)))


def _caller(stack: list[Any], other: list[Any]) -> str:
    """Name the outermost call of *stack* that is not in *other* at the same depth."""
    for mine, theirs in zip(reversed(stack), reversed(other), strict=False):
        if tuple(mine)[:2] != tuple(theirs)[:2]:
            return "{}:{}".format(*tuple(mine)[:2])
    return "{}:{}".format(*tuple(stack[0])[:2])
