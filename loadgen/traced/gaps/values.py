"""Gaps of values: the result of a call is recorded as it was when the call returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retracesoftware import functional, stream

if TYPE_CHECKING:
    from collections.abc import Callable


def record_containers_as_they_were() -> None:
    """Copy lists, tuples and dicts at the moment when they are recorded.

    The writer thread takes them from its queue up to 100 ms later, when the application may have changed
    them: ``rows = cursor.fetchall(); rows.pop()`` replays with one row fewer. And if the application empties
    a list while that thread pickles it, the process dies of SIGSEGV.
    """
    walker = functional.walker

    def copy(value: Any) -> Any:
        kind = type(value)
        if kind is list or kind is tuple:
            return kind(map(copy, value))
        if kind is dict:
            return {key: copy(item) for key, item in value.items()}
        if kind is set or kind is bytearray:
            return kind(value)
        return value

    def walk_copies(visit: Callable[[Any], Any]) -> Any:
        walk = walker(visit)
        # The recorder walks over every written value to look up bindings; the copy is made there.
        return functional.sequence(copy, walk) if isinstance(visit, stream.Binder) else walk

    functional.walker = walk_copies
