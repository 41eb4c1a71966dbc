"""Gaps of callbacks: functions of any kind that the application passes to C code."""

from __future__ import annotations

from typing import Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import utils
from retracesoftware.proxy.system import System


def unwrap_callbacks_off_the_tape() -> None:
    """Unwrap a wrapped callback before it is inspected.

    ``_unwrap_callable`` does a ``getattr`` on it, which is itself a traced call and reads the tape: SQLite's
    ``row_factory``, ``create_function`` and trace callbacks never replay.
    """
    unwrap_callable = engine_io._unwrap_callable

    def unwrap(value: object) -> object:
        return unwrap_callable(utils.unwrap(value) if isinstance(value, utils.InternalWrapped) else value)

    engine_io._unwrap_callable = unwrap


def let_anything_be_a_callback() -> None:
    """Wrap callables of every type, and give each wrapper a hash.

    The engine looks up a callback in a dictionary before it replays it. If the callback's type defines
    ``__eq__``, as those of built-in functions and bound methods do, its wrapper has no hash and the lookup
    fails: ``create_function("root", 1, math.sqrt)`` never replays. For functions that the engine replaced,
    such as ``print``, there is no wrapper: ``set_trace_callback(print)`` raises ``AssertionError`` while
    recording.
    """
    stock = System.int_proxytype

    def int_proxytype(system: Any, kind: type) -> type:
        if issubclass(kind, utils.wrapped_callable):
            spec = {"__call__": system.int_gateway, "__name__": kind.__name__, "__module__": kind.__module__}
            proxytype = type(kind.__name__, (utils.InternalWrapped,), spec)
            system.bind(proxytype)
            return proxytype
        proxytype = stock(system, kind)
        if proxytype.__hash__ is None:
            proxytype.__hash__ = utils.InternalWrapped.__hash__
        return proxytype  # type: ignore[no-any-return]

    System.int_proxytype = int_proxytype
