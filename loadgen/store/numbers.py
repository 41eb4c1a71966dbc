"""The number of the last request, shared by the processes that send the requests of one session."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_NUMBER = struct.Struct("q")


class Numbers:
    """The last number, in memory that processes share; as a context manager, the right to change it.

    Whoever has the right may number a request, take the time and append to the journal, as one step for all
    processes. The kernel takes the right back from a process that dies.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """Share the memory behind an inherited *descriptor*; None: make it."""
        if descriptor is None:
            descriptor = os.memfd_create("loadgen-numbers")
            os.ftruncate(descriptor, _NUMBER.size)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _NUMBER.size)
        self._depth = 0

    def __enter__(self) -> Self:
        if not self._depth:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    @property
    def last(self) -> int:
        """The number of the last request."""
        number: int = _NUMBER.unpack_from(self._memory)[0]
        return number

    @last.setter
    def last(self, number: int) -> None:
        _NUMBER.pack_into(self._memory, 0, number)

    def close(self) -> None:
        """Share it no more."""
        self._memory.close()
        os.close(self.descriptor)
