"""The tap of a completely traced server: an untraced copy of its socket I/O.

It writes one line per event to the original standard output (other output goes to standard error, the log):

``listening N BASE64``
    While recording: the kernel accepts connections at this address from now on, as JSON: host and port, or
    a path. So no readiness probe is needed.
``< N BASE64``, ``> N BASE64``, ``. N``
    In the replay: socket *N* received these bytes, would have sent these bytes, or sends no more.
``left N BASE64``
    In the replay of a program that is a client: an error ended one of its threads that is ours, as JSON.

The functions are ``system_wrap`` of the overlay: each gets the original and the engine's ``system``, and
returns what replaces it.
"""

from __future__ import annotations

import base64
import inspect
import itertools
import json
import os
import sys
import threading
import weakref
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

from loadgen.traced import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    Tell = Callable[..., None]


def open_tap() -> None:
    """Start writing to standard output, and redirect other output to standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    _Tap.tell = staticmethod(_writer(descriptor))


def open_for_program() -> None:
    """Do the same for a program that is a client, and also report where its replay leaves the tape."""
    open_tap()
    before, dumps, tell = sys.excepthook, json.dumps, _Tap.tell

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        for left in _causes(error):
            if stack := getattr(left, "stack", None):
                told = {"code": getattr(left, "code", ""), "why": str(left), "stack": [*stack]}
                tell(b"left", hook, dumps(told).encode())
                break
        before(kind, error, trace)

    sys.excepthook = hook
    threading.excepthook = lambda told: hook(
        told.exc_type, told.exc_value or told.exc_type(), told.exc_traceback
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and its causes, the first cause first."""
    if error is not None:
        yield from _causes(error.__cause__ or error.__context__)
        yield error


def _nobody(*_: object) -> None:
    """Discard the event; used if the engine is started without the tap's output."""


class _Tap:
    tell: Tell = staticmethod(_nobody)


def _writer(descriptor: int) -> Tell:
    """Return a function that writes a line; all it uses is captured here, before the engine replaces it."""
    write, encode, turn, alive = os.write, base64.b64encode, allocate_lock(), weakref.ref
    numbers, count = {}, itertools.count(1)  # type: ignore[var-annotated]

    def tell(what: bytes, sock: object, data: bytes | None = None) -> None:
        with turn:
            known = numbers.get(id(sock))
            if known is None or known[0]() is not sock:  # the address belongs to a new object
                known = numbers[id(sock)] = alive(sock), next(count)
            line = b"%s %d" % (what, known[1])
            rest = memoryview(line + (b"\n" if data is None else b" " + encode(data) + b"\n"))
            while rest:
                rest = rest[write(descriptor, rest) :]

    return tell


def run_simple(target: Callable[..., None], _: Any) -> Callable[..., None]:
    """``werkzeug.serving.run_simple``: at our address, without reloader and debugger."""
    parameters = inspect.signature(target)

    def serve(*args: Any, **kwargs: Any) -> None:
        given = parameters.bind(*args, **kwargs)
        host, port = settings.CURRENT.bind or ("127.0.0.1", 0)
        given.arguments.update(hostname=host, port=port, use_reloader=False, use_debugger=False)
        target(*given.args, **given.kwargs)

    return serve


def listen(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``socket.listen``."""
    wrapped = system._wrapped_method(target)
    if system.retrace_mode == "replay":
        return wrapped  # type: ignore[no-any-return]

    def address(sock: Any) -> None:
        name = sock.getsockname()
        _Tap.tell(b"listening", sock, json.dumps(name if isinstance(name, str) else name[:2]).encode())

    tell = system.disable_for(address)

    def listen(self: Any, *args: Any) -> None:
        wrapped(self, *args)
        tell(self)

    return listen


def _tapped(target: Any, system: Any, what: bytes, data: Callable[..., bytes | None]) -> Any:
    """Return the traced *target*, which also reports its data in a replay."""
    wrapped = system._wrapped_method(target)
    if system.retrace_mode != "replay":
        return wrapped
    tell = system.disable_for(_Tap.tell, unwrap_args=False)

    def call(self: Any, *args: Any) -> Any:
        result = wrapped(self, *args)
        tell(what, self, data(result, *args))
        return result

    return call


def recv(target: Any, system: Any) -> Any:
    """``socket.recv``; the engine implements ``recv_into`` with it."""
    return _tapped(target, system, b"<", lambda result, *_: result)


def send(target: Any, system: Any) -> Any:
    """``socket.send``, which may send only a part."""
    return _tapped(target, system, b">", lambda result, data, *_: bytes(data)[:result])


def sendall(target: Any, system: Any) -> Any:
    """``socket.sendall``."""
    return _tapped(target, system, b">", lambda _, data, *__: bytes(data))


def end(target: Any, system: Any) -> Any:
    """``socket.shutdown`` and ``close``."""
    return _tapped(target, system, b".", lambda *_: None)
