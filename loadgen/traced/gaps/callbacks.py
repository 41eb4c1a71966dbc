"""Gaps of callbacks: functions of any kind that the application passes to C code."""

from __future__ import annotations

import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.io as engine_io
from retracesoftware import utils
from retracesoftware.proxy.system import System

from loadgen import protocol
from loadgen.traced.installing import unseen

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = frozenset({int, float, str, bytes, bytearray, memoryview, type(None)})
"""Types that SQLite stores as they are."""
_CHECK = 4
"""Position of ``check_same_thread`` among the parameters of ``sqlite3.connect``."""


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


def adapting(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """Return an ``execute`` or ``executemany`` that adapts its parameters. A ``system_wrap`` of the overlay.

    ``sqlite3`` finds the adapter of an object by its exact type, and would see that of the engine's wrapper:
    an object of a class with a registered adapter is refused while recording.
    """
    import _sqlite3  # noqa: PLC0415 - is being patched

    location, adapt = system.gate.get, _sqlite3.adapt
    kind, _, method = target.__qualname__.partition(".")
    traced = getattr(getattr(_sqlite3, kind), method)  # which the engine has made of *target*

    def adapted(row: Any) -> Any:
        kind = type(row)
        if kind in {tuple, list}:
            if all(type(value) in _PLAIN for value in row):
                return row
            return kind(_value(value) for value in row)
        if kind is dict:
            return {name: _value(value) for name, value in row.items()}
        return row

    def _value(value: Any) -> Any:
        return value if type(value) in _PLAIN else adapt(value, _sqlite3.PrepareProtocol, value)

    if method == "execute":
        before = adapted
    else:

        def before(row: Any) -> Any:
            return [adapted(one) for one in row] if type(row) in {tuple, list} else map(adapted, row)

    @unseen
    @wraps(target)
    def execute(self: Any, *given: Any) -> Any:
        if location() == "internal" and len(given) == 2:  # noqa: PLR2004 - a statement and its parameters
            given = given[0], before(given[1])
        return traced(self, *given)

    return execute


def noting_shared(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """Return a ``connect`` that notes in the log, once, if threads may share a connection. A ``system_wrap``.

    ``sqlite3`` crashes if they do, and the crash looks like one of the engine.
    """
    import _sqlite3  # noqa: PLC0415 - is being patched

    traced, location = _sqlite3.connect, system.gate.get
    note = system.disable_for(sys.stderr.write, unwrap_args=False)
    noted = False

    @unseen
    @wraps(target)
    def connect(*given: Any, **named: Any) -> Any:
        nonlocal noted
        of_one = named.get("check_same_thread", given[_CHECK] if len(given) > _CHECK else True)
        if not of_one and not noted and location() == "internal":
            noted = True
            note(f"{protocol.LOG_SHARED}{given[0] if given else named.get('database')!s:.200}\n")
        return traced(*given, **named)

    return connect
