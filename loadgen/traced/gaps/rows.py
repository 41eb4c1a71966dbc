"""Gaps of rows: an ``sqlite3.Row`` is a value, not an object whose every field is a call on the tape.

The engine makes each row an external object: ``row["name"]`` is then a step, and code that has changed cannot
read a field that it did not read before. A row is written by its names and values instead. Only a cursor can
make one, so a replay has a database in memory, and in it a cursor with these names.
"""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

from retracesoftware.proxy import typeutils

if TYPE_CHECKING:
    from collections.abc import Callable

    Names = tuple[str, ...]


def by_value(row: type, system: Any) -> type:
    """Make *row*, the type ``sqlite3.Row``, a value. A ``system_wrap`` of the overlay."""
    import _sqlite3  # noqa: PLC0415 - is being patched

    location, cursor = system.gate.get, _cursors(system.disable_for(_cursor))
    make = type.__call__

    class Made(type):
        """The type of ``sqlite3.Row``: one that the application makes has the names that its cursor had."""

        __slots__ = ()

        def __call__(cls, *given: Any, **named: Any) -> Any:
            if location() != "internal" or len(given) != 2 or not isinstance(given[0], _sqlite3.Cursor):  # noqa: PLR2004
                return make(cls, *given, **named)  # by sqlite3, or an error
            described = given[0].description
            names = None if described is None else tuple([str(one[0]) for one in described])
            return make(cls, cursor(names), given[1])

    class Exactly(type):
        """The type of a stand-in for ``sqlite3.Row`` that has no subclasses: theirs are the application's."""

        def __subclasscheck__(cls, other: type) -> bool:
            return other is row

    with typeutils.modify(type), typeutils.modify(row):
        row.__class__ = Made
    system.immutable_types.add(Exactly("Row", (), {}))
    copyreg.pickle(row, lambda one: (read, (tuple(one.keys()), tuple(one))))
    _READ.append(lambda names, values: make(row, cursor(names), values))
    return row


def _cursor(names: Names | None) -> Any:
    import _sqlite3  # noqa: PLC0415 - is patched, or not, when this is called

    connection = _sqlite3.Connection(":memory:", check_same_thread=False)
    if names is None:
        return connection.cursor()
    columns = ", ".join('0 AS "' + name.replace('"', '""') + '"' for name in names)
    return connection.execute(f"SELECT {columns}")


def _cursors(new: Callable[[Names | None], Any]) -> Callable[[Names | None], Any]:
    """Return what makes a cursor with some names, each once, by calling *new*."""
    known: dict[Names | None, Any] = {}

    def cursor(names: Names | None) -> Any:
        if names not in known:
            known[names] = new(names)
        return known[names]

    return cursor


def _read_alone(names: Names, values: tuple[Any, ...]) -> Any:
    """Read a row where the engine alone reads the tape."""
    from sqlite3 import Row  # noqa: PLC0415 - most applications have no rows

    return Row(_cursor(names), values)


_READ: list[Callable[[Names, tuple[Any, ...]], Any]] = [_read_alone]


def read(names: Names, values: tuple[Any, ...]) -> Any:
    """Return the row that was written."""
    return _READ[-1](names, values)
