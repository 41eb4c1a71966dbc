"""Gaps of buffers: what a call writes into memory of its caller is not on the tape.

The tape has arguments and results. So each such call becomes one that returns the bytes, and the caller's
buffer is filled from those, in both phases.
"""

from __future__ import annotations

import mmap
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.system as engine_system
from retracesoftware import functional, utils
from retracesoftware.install import edgecases
from retracesoftware.proxy.system import System

from loadgen.traced.exporters import exports
from loadgen.traced.gaps.files import is_live
from loadgen.traced.installing import reconfigure, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_TRACED = "internal"
"""State of the engine's gate while a thread runs the application's own code."""


def fill_buffers_from_the_tape() -> None:
    """Read into buffers by reading: files, sockets, TLS.

    The engine does so for files whose class is in the module ``io``, but theirs say that they are in ``_io``.
    For sockets, it takes buffers of bytes only, and has no ``recvmsg_into``.
    """
    stock = engine_system._ext_proxytype_from_spec

    def ext_proxytype_from_spec(system: Any, module: str, name: str, **spec: Any) -> Any:
        proxytype = stock(system, module, name, **spec)
        if module == "_io":
            for method, reads in (("readinto", "read"), ("readinto1", "read1")):
                if hasattr(engine_system.lookup(module, name), method):
                    setattr(proxytype, method, _reading(reads))
        return proxytype

    engine_system._ext_proxytype_from_spec = ext_proxytype_from_spec
    for name, method in (
        ("recv_into", _recv_into),
        ("recvfrom_into", _recvfrom_into),
        ("recvmsg_into", _recvmsg_into),
    ):
        setattr(edgecases, name, lambda _, method=method: method)
    edgecases.read = _tls_read
    wrapped = dict.fromkeys(("readv", "preadv"), f"{__name__}.readv")
    reconfigure(
        "posix", lambda config: {**config, "system_wrap": {**config.get("system_wrap", {}), **wrapped}}
    )


def pass_buffers_as_they_are() -> None:
    """Pass arrays, mapped files and all other buffers to C code as they are, like ``bytes``.

    The engine passes a wrapper of the object. On CPython 3.11 that is no buffer: ``file.write(array)`` raises
    ``TypeError`` while recording. On 3.12 the recording has a call of its ``__buffer__``, and never replays.
    """
    stock = System.int_proxy.fget
    is_buffer = utils.FastTypePredicate(exports).istypeof

    def int_proxy(system: Any) -> Any:
        wrap = stock(system)
        return functional.walker(functional.if_then_else(is_buffer, functional.identity, wrap))

    System.int_proxy = property(int_proxy)


def fill(buffers: Iterable[Any], content: bytes) -> int:
    """Write *content* into *buffers*, one after the other, and return its length."""
    rest = memoryview(content)
    for buffer in buffers:
        with memoryview(buffer) as given, given.cast("B") as view:
            part = rest[: len(view)]
            view[: len(part)] = part
            rest = rest[len(part) :]
    return len(content)


def size(buffer: Any, error: type[Exception] = TypeError) -> int:
    """Return how many bytes fit into a buffer.

    Raises:
        error: it cannot be written.
    """
    with memoryview(buffer) as given:
        if given.readonly:
            raise error(f"read-write bytes-like object expected, not {type(buffer).__name__}")
        return given.nbytes


def _reading(reads: str) -> Callable[[Any, Any], int | None]:
    """Return a method of files that fills a buffer with what the method *reads* returns."""

    @unseen
    def readinto(file: Any, buffer: Any) -> int | None:
        content = getattr(file, reads)(size(buffer))
        return None if content is None else fill([buffer], content)  # None: nothing is there yet

    return readinto


def _asked(buffer: Any, number: int, what: str, too_many: str) -> int:
    """Return how many bytes are asked for, as the methods of sockets decide it."""
    if number < 0:
        raise ValueError(f"negative buffersize in {what}")
    fits = size(buffer)
    if number > fits:
        raise ValueError(too_many)
    return number or fits


@unseen
def _recv_into(self: Any, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    asked = _asked(buffer, nbytes, "recv_into", "buffer too small for requested bytes")
    return fill([buffer], self.recv(asked, flags))


@unseen
def _recvfrom_into(self: Any, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
    asked = _asked(buffer, nbytes, "recvfrom_into", "nbytes is greater than the length of the buffer")
    content, address = self.recvfrom(asked, flags)
    return fill([buffer], content), address


@unseen
def _recvmsg_into(
    self: Any, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
) -> tuple[int, list[Any], int, Any]:
    into = list(buffers)
    content, *rest = self.recvmsg(sum(map(size, into)), ancbufsize, flags)
    return (fill(into, content), *rest)


def _tls_read(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``read`` of a TLS connection, which takes a buffer as its second argument."""

    @unseen
    def read(self: Any, *args: Any) -> Any:
        if len(args) < 2 or args[1] is None:  # noqa: PLR2004
            return target(self, *args[:1])
        asked, buffer = args
        fits = size(buffer)
        return fill([buffer], target(self, asked if 0 < asked <= fits else fits))

    return read


def readv(target: Callable[..., int], system: Any) -> Callable[..., int]:
    """Return ``os.readv`` or ``os.preadv``, which fill several buffers. A ``system_wrap``."""

    def read(fd: int, sizes: Sequence[int], *how: int) -> bytes:
        into = [bytearray(each) for each in sizes]
        length = target(fd, into, *how)
        return b"".join(into)[:length]

    recorded, location, live = system.patch_function(read), system.gate.get, system.disable_for(target)

    @unseen
    def call(fd: int, buffers: Sequence[Any], *how: int, **named: int) -> int:
        if location() != _TRACED or is_live(fd):
            return int(live(fd, buffers, *how, **named))
        sizes = [size(each, BufferError) for each in buffers]
        return fill(buffers, recorded(fd, sizes, *how, *named.values()))

    return call


def mapped(target: type[mmap.mmap], system: Any) -> type[mmap.mmap]:
    """Return ``mmap.mmap``, with the content of recorded files on the tape. A ``system_wrap`` of the overlay.

    The tape gets what the file contains when it is mapped. A replay maps a file in memory that has the same
    content. What another process writes into the mapping later is not on the tape.
    """
    location, made = system.gate.get, threading.local()

    def read(fileno: int, length: int, *how: Any, **named: Any) -> tuple[bytes, int, int]:
        made.mapping = mapping = target.__new__(made.kind, fileno, length, *how, **named)
        readable = named.get("prot", mmap.PROT_READ) & mmap.PROT_READ or named.get("access")
        return (bytes(mapping) if readable else b""), len(mapping), os.fstat(fileno).st_size

    recorded, in_memory = system.patch_function(read), system.disable_for(_in_memory)

    class Mapping(target):  # type: ignore[valid-type,misc]
        @unseen
        def __new__(cls, fileno: int, length: int, *how: Any, **named: Any) -> Any:
            if fileno == -1 or location() != _TRACED or is_live(fileno):
                return target.__new__(cls, fileno, length, *how, **named)
            named |= dict(zip(("flags", "prot", "access", "offset"), how, strict=False))
            made.kind = cls
            content, length, whole = recorded(fileno, length, **named)
            if system.retrace_mode == "record":
                mapping, made.mapping = made.mapping, None
                return mapping
            return in_memory(partial(target.__new__, cls), content, length, whole, named)

    Mapping.__name__ = Mapping.__qualname__ = target.__name__
    Mapping.__module__ = target.__module__
    return Mapping


def _in_memory(
    make: Callable[..., Any], content: bytes, length: int, whole: int, named: dict[str, Any]
) -> Any:
    """Map a file in memory that has *content* at the offset of the recorded mapping."""
    offset = named.get("offset", 0)
    with open(os.memfd_create("loadgen"), "wb") as file:  # noqa: PTH123 - a descriptor, which the mapping copies
        file.truncate(max(whole, offset + length))
        file.seek(offset)
        file.write(content)
        file.flush()
        return make(file.fileno(), length, **named)
