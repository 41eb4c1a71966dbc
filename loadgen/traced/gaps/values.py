"""Gaps of values: the result of a call is recorded as it was when the call returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retracesoftware import functional, stream

from loadgen.traced import strings

if TYPE_CHECKING:
    from collections.abc import Callable


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
