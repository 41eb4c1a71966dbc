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

from loadgen.traced.described import HANDLE, SITE, same

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
        if part[:1] == (SITE,):
            return None
        return tuple(_keyed(one, state) for one in part)
    return part


class _Side:
    """The objects of one side, recorded or live: the calls that created them, and their states."""

    def __init__(self, made: dict[int, str]) -> None:
        self.made = made
        self.now: dict[int, str] = {}

    def state(self, handle: int) -> str:
        return self.now.get(handle) or self.made.get(handle, "new")

    def key(self, described: Any) -> str:
        described = (described,) if isinstance(described, str) else same(described)
        if _BEGINS_ANEW.match(described[0]):
            return digest(_keyed(described, lambda handle: self.made.get(handle, "new")))
        return digest(_keyed(described, self.state))

    def asked(self, described: Any, key: str) -> None:
        handle = receiver(described)
        name = described if isinstance(described, str) else str(described[0])
        if handle is None or _STAYS.match(name):
            return
        before = self.made.get(handle, "new") if _BEGINS_ANEW.match(name) else self.state(handle)
        self.now[handle] = digest(before, key)


class States:
    """The states of a request's objects, recorded and live."""

    def __init__(self, recorded: dict[int, str], live: dict[int, str]) -> None:
        self._recorded, self._live = _Side(recorded), _Side(live)

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
