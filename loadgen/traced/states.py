"""Decides whether two calls ask the same question: by callable, arguments, and the state of their objects.

An object's state is a digest of the call that created it and of the calls made on it since in this request,
as far as they change its answers. A cursor that executes another statement starts anew; ``fetchone()``
advances it; a connection keeps its state, because the effects of statements are judged by the statements. So
objects that were created and used in the same way are the same, whatever their handles.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from retracesoftware.stream import _is_bind_open

from loadgen.traced.described import EXTERNAL, HANDLE, SETS, SITE, name_of, same
from loadgen.traced.kinds import EFFECT, ENDS, READ, guess, text_of

_STAYS = re.compile(
    r"(?:.*\.)?(?:Connection|connection|PGconn)\.|"
    r".*[cC]ursor\.(?:fetch\w*|__next__)$|"
    r".*\.(?:description|rowcount|lastrowid|arraysize|connection|closed|name|fileno|close|detach|shutdown|"
    r"settimeout|gettimeout|setblocking|getblocking|setsockopt|getsockopt|getpeername|getsockname|"
    r"__enter__|__exit__|__iter__|timeout|family|type|proto|itersize|withhold|scrollable|query)$"
)
"""Calls that do not change the state of their object."""
_BEGINS_ANEW = re.compile(
    r".*\.(?:execute|executemany|executescript|callproc|send|sendall|sendmsg|sendto|connect|connect_ex|seek|"
    r"exec_params|exec_|send_query|send_query_params|send_query_prepared)$"
)
"""Calls that reset the state of their object."""
_OF_A_CONNECTION = re.compile(r"(?:.*\.)?(?:Connection|connection|PGconn)\.")
_BEGINS_ITSELF = re.compile(r"(?:sqlite3|psycopg2)\.")
"""Drivers that begin a transaction before a write, unless the connection is set not to."""
_CONNECTS = re.compile(r".*connect$")
_NO_TRANSACTIONS = re.compile(r"'(?:isolation_level|autocommit)'")
_FEW = 4
"""Number of items of a call that connects without positional settings of transactions."""
_BEGIN = re.compile(r"\s*(?:begin|start\s+transaction)\b", re.IGNORECASE)
_PLAIN_BEGIN = re.compile(r"\s*begin(\s+deferred)?(\s+transaction)?\s*;?\s*", re.IGNORECASE)
_TO_SAVEPOINT = re.compile(r"\s*rollback\s+(?:(?:work|transaction)\s+)?to\b", re.IGNORECASE)
_SET = re.compile(r"\s*set\s+(?:session\s+|(local)\s+)?([\w.@]+)", re.IGNORECASE)
_PRAGMA = re.compile(
    r"\s*pragma\s+(?:(foreign_keys|defer_foreign_keys|recursive_triggers|query_only)|"
    r"(case_sensitive_like|read_uncommitted))\s*[=(]",
    re.IGNORECASE,
)
"""Settings of SQLite that decide what later statements do: what writes do, and what reads give, too."""
_SETS_TRANSACTIONS = re.compile(
    r".*\.(?:set_session|set_isolation_level|isolation_level\.__set__|autocommit\.__set__)$"
)
_MOVES = re.compile(r"_?io\.\w+\.seek$")
"""Calls that decide where in a file the next ones read and write."""
_SETS_FACTORY = re.compile(r".*\.(?:row|text|cursor)_factory\.__set__$")


def handleless(described: Any) -> Any:
    """Return a call without the handles of its objects."""
    return _keyed((described,) if isinstance(described, str) else same(described), lambda _: "")


def digest(*parts: object) -> str:
    """Return a digest of *parts*."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def begins_anew(name: str) -> bool:
    """Whether the call *name* resets the state of its object, as a cursor's next statement does."""
    return bool(_BEGINS_ANEW.match(name))


def receiver(described: Any) -> int | None:
    """Return the handle of the object that a call is made on."""
    if isinstance(described, tuple) and len(described) > 1:
        first = described[1]
        if isinstance(first, tuple) and first[:1] == (HANDLE,):
            return int(first[1])
    return None


def _keyed(part: Any, state: Any) -> Any:
    if isinstance(part, tuple):
        if part[:1] == (HANDLE,):
            return (HANDLE, state(part[1]))
        if part[:1] == (EXTERNAL,):
            return (*part, state(part))
        if part[:1] == (SITE,):
            return None
        return tuple(_keyed(one, state) for one in part)
    return part


class _Connection:
    """What decides, besides a statement itself, what statements on a connection do."""

    __slots__ = ("begins_itself", "begun", "for_writes", "number", "settings")

    def __init__(self, number: int, *, begins_itself: bool) -> None:
        self.number = number
        self.begins_itself = begins_itself
        """Whether its driver may begin transactions."""
        self.settings: dict[str, Any] = {}
        self.for_writes: dict[str, Any] = {}
        """Settings that decide what writes do, but not what reads give."""
        self.begun: dict[str, Any] = {}
        """The statements that began the transaction, and settings that end with it."""


class Connections:
    """The connections of one side, recorded or live: which objects belong to them, and how they are set."""

    def __init__(self) -> None:
        self._known: dict[int, _Connection] = {}
        self._count = 0

    def _new(self, *, begins_itself: bool) -> _Connection:
        self._count += 1
        return _Connection(self._count, begins_itself=begins_itself)

    def made(self, handle: int, call: Any) -> None:
        """Note an object that *call* made: a cursor belongs to the connection that it is made on."""
        by = receiver(call)
        if by is not None and by in self._known:
            self._known[handle] = self._known[by]
        elif by is None and call is not None and _CONNECTS.match(name_of(call)):
            manual = len(call) > _FEW or _NO_TRANSACTIONS.search(repr(call))
            self._known[handle] = self._new(begins_itself=not manual)
        else:
            self._known.pop(handle, None)

    def _of(self, described: Any) -> _Connection | None:
        handle = receiver(described)
        if handle is None:
            return None
        known = self._known.get(handle)
        if known is None and _OF_A_CONNECTION.match(name_of(described)):
            known = self._known[handle] = self._new(begins_itself=False)
        return known

    def settings(self, described: Any) -> str:
        """Return the settings of its connection that matter to the statement of a call."""
        on = self._of(described)
        kind = EFFECT if on is None else guess(text_of(described))
        if on is None or kind not in (EFFECT, READ):
            return ""
        matters = [on.settings, on.for_writes, on.begun] if kind == EFFECT else [on.settings]
        return "; ".join(f"{name} = {one[name]}" for one in matters for name in sorted(one))

    def asked(self, described: Any) -> int | None:
        """Note what a call sets, and where a transaction begins and ends.

        Returns the number of the connection that the call is made on; None if it is not known.
        """
        on, name = self._of(described), name_of(described)
        if on is None:
            return None
        if _SETS_TRANSACTIONS.match(name):
            on.begins_itself = False
            if not name.endswith(SETS):  # that is an effect itself
                on.for_writes[name] = handleless(described)
        elif name.endswith((".commit", ".rollback")):
            on.begun.clear()
        elif begins_anew(name):
            self._executed(on, described)
        return on.number

    @staticmethod
    def _executed(on: _Connection, described: Any) -> None:
        text, value = text_of(described), _keyed(described[2:], lambda _: "")
        if guess(text) == ENDS:
            if not _TO_SAVEPOINT.match(text):
                on.begun.clear()
        elif _BEGIN.match(text):
            if not (on.begins_itself and _PLAIN_BEGIN.fullmatch(text) and _BEGINS_ITSELF.match(described[0])):
                on.begun["begin"] = value
        elif (found := _SET.match(text)) is not None:
            name = found[2].lower()
            (on.begun if found[1] or name == "transaction" else on.settings)[name] = value
        elif (found := _PRAGMA.match(text)) is not None:
            (on.for_writes if found[1] else on.settings)[(found[1] or found[2]).lower()] = value


class _Side:
    """The objects of one side, recorded or live: the calls that created them, and their states."""

    def __init__(self, made: dict[int, str], connections: Connections) -> None:
        self.made = made
        self.connections = connections
        self.now: dict[Any, str] = {}

    def state(self, handle: Any) -> str:
        return self.now.get(handle) or self.made.get(handle, "new")

    def key(self, described: Any) -> str:
        described = (described,) if isinstance(described, str) else same(described)
        if _BEGINS_ANEW.match(described[0]):
            settings = self.connections.settings(described)
            return digest(_keyed(described, lambda handle: self.made.get(handle, "new")), settings)
        return digest(_keyed(described, self.state))

    def asked(self, described: Any, key: str) -> None:
        handle = receiver(described)
        name = described if isinstance(described, str) else str(described[0])
        if handle is None and _MOVES.match(name):
            self.now[described[1]] = key
        if handle is None or _STAYS.match(name):
            return
        before = self.made.get(handle, "new") if _BEGINS_ANEW.match(name) else self.state(handle)
        self.now[handle] = digest(before, key)


class States:
    """The states of a request's objects, recorded and live."""

    def __init__(
        self,
        recorded: dict[int, str],
        live: dict[int, str],
        connections: tuple[Connections, Connections] | None = None,
    ) -> None:
        there, here = connections or (Connections(), Connections())
        self._recorded, self._live = _Side(recorded, there), _Side(live, here)

    def containers(self) -> tuple[object, ...]:
        """Return the containers that it consists of."""
        return self, self._recorded, self._recorded.now, self._live, self._live.now

    def recorded(self, described: Any, body: list[Any]) -> str:
        """Return the key of the next recorded call, and note the objects that it creates."""
        key = self._recorded.key(described)
        made = [item[1] for item in body if _is_bind_open(item)]
        for count, handle in enumerate(made):
            self._recorded.made[handle] = digest("made", key, count)
            self._recorded.now.pop(handle, None)
        self._recorded.asked(described, key)
        return key

    def key(self, described: Any) -> str:
        """Return the key of a call that the running code makes."""
        return self._live.key(described)

    def asked(self, described: Any, key: str) -> None:
        """Note that the call was answered."""
        self._live.asked(described, key)


class Factories:
    """What makes the rows of cursors, such as ``sqlite3.Row``: with it, a statement gives other objects."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def asked(self, described: Any) -> None:
        """Note the factory if a call sets one."""
        handle = receiver(described)
        if handle is not None and _SETS_FACTORY.match(described[0]):
            earlier = self._known.get(handle, "")
            kind = described[0].rpartition(".")[0]
            rest = [one for one in earlier.split("; ") if one and not one.startswith(kind)]
            self._known[handle] = "; ".join(sorted([*rest, f"{kind} = {handleless(described[2:])}"]))

    def made(self, handle: int, by: int | None) -> None:
        """Note an object that a call made on the object *by*: a cursor has the factory of its connection."""
        factory = None if by is None else self._known.get(by)
        if factory is None:
            self._known.pop(handle, None)
        else:
            self._known[handle] = factory

    def of(self, handle: int | None) -> str:
        """Return the factories of an object; empty for those that it has by itself."""
        return "" if handle is None else self._known.get(handle, "")


def pairs(recorded: Any, live: Any) -> list[tuple[int, int]]:
    """Return the pairs of recorded and live handles in corresponding positions."""
    if not (isinstance(recorded, tuple) and isinstance(live, tuple)):
        return []
    if recorded[:1] == (HANDLE,) and live[:1] == (HANDLE,):
        return [(recorded[1], live[1])]
    return [pair for one, other in zip(recorded, live, strict=False) for pair in pairs(one, other)]
