"""Gaps of values: what a call returned is recorded as it was then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retracesoftware import functional, stream

if TYPE_CHECKING:
    from collections.abc import Callable


def record_containers_as_they_were() -> None:
    """Copy the lists, tuples and dicts that go on the tape at the moment when they do.

    The writer's thread takes them from its queue up to 100 ms later, when the application may have changed
    them: ``rows = cursor.fetchall(); rows.pop()`` replays with a row less. And while that thread pickles an
    item, the list may be emptied under it, which ends in SIGSEGV.
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
        # The recorder's walker over all that it writes is the one that looks up bindings.
        return functional.sequence(copy, walk) if isinstance(visit, stream.Binder) else walk

    functional.walker = walk_copies
