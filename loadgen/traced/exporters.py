"""Objects with the buffer protocol: ``bytes``, arrays, mapped files, C structures, NumPy's arrays."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_AS_BUFFER: Final = 160
"""Position of ``tp_as_buffer`` in a type object of CPython 3.11, on a machine with 64 bits."""
_ADDRESSES: Final = frozenset("O&PXzZ")
"""Characters of a buffer's format that stand for addresses, or may."""


def exports(kind: type) -> bool:
    """Return whether the objects of a *kind* are buffers: C code reads their memory, and calls nothing."""
    if sys.version_info >= (3, 12):
        return hasattr(kind, "__buffer__")
    methods = ctypes.c_void_p.from_address(id(kind) + _AS_BUFFER).value
    return methods is not None and ctypes.c_void_p.from_address(methods).value is not None


def content_of(buffer: object) -> bytes | None:
    """Return the bytes of *buffer*; None if it cannot be read, or has addresses in it."""
    try:
        with memoryview(buffer) as view:  # type: ignore[arg-type]
            return None if _ADDRESSES.intersection(view.format) else view.tobytes()
    except (BufferError, TypeError, ValueError):
        return None
