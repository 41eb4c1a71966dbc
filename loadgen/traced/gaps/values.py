"""Gaps of values: the result of a call is recorded as it was when the call returned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from retracesoftware import functional, stream

from loadgen.traced import strings

if TYPE_CHECKING:
    from collections.abc import Callable

_GETPID = os.getpid  # before the engine replaces it


def record_values_as_they_were() -> None:
    """Copy lists, tuples, dicts, and late strings at the moment when they are recorded.

    The writer thread takes them from its queue up to 100 ms later, when the application may have changed
    them: ``rows = cursor.fetchall(); rows.pop()`` replays with one row fewer. And if the application empties
    a list while that thread pickles it, the process dies of SIGSEGV. For strings see
    :mod:`loadgen.traced.strings`.
    """
    walker = functional.walker

    def walk_copies(visit: Callable[[Any], Any]) -> Any:
        walk = walker(visit)
        # The recorder walks over every written value to look up bindings; the copy is made there.
        return functional.sequence(strings.TAPE.written, walk) if isinstance(visit, stream.Binder) else walk

    functional.walker = walk_copies
    strings.reserve_the_first_strings()


class _FirstSeen:
    """The number of the process that first asks whether it is this one."""

    def __init__(self) -> None:
        self._number: int | None = None

    def __eq__(self, other: object) -> bool:
        if self._number is None and isinstance(other, int):
            self._number = other
        return self._number == other

    def __hash__(self) -> int:
        return hash(self._number)


def heap_of_this_process(target: Any, system: Any) -> Any:
    """Forget the process number that ``multiprocessing.heap`` noted. A ``system_wrap`` of the overlay.

    It was imported off the tape, so a replay has noted its own number. Asked on the tape, it gets the
    recorded one, takes itself for a fork, and makes its locks anew: ``multiprocessing.Value`` never replays.
    """
    del system
    target._heap._lastpid = _FirstSeen()
    return target


def finalizer_of_this_process(target: Any, system: Any) -> Any:
    """Let ``multiprocessing.util.Finalize`` ask for its process number on the tape. A ``system_wrap``.

    It keeps the function from its import, which is live: in a replay it would find another process, and do
    nothing.
    """
    del system
    call = target.__call__
    call.__defaults__ = tuple(os.getpid if one is _GETPID else one for one in call.__defaults__)
    return target
