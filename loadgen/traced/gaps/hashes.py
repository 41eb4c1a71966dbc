"""Hashes of classes: by name instead of by address, so sets of classes have the same order in a replay."""

from __future__ import annotations

import builtins
import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from retracesoftware import functional, utils

from loadgen.traced.installing import unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_address: Any = object.__hash__
_name = type.__dict__["__qualname__"].__get__
_attributes = type.__dict__["__dict__"].__get__
_PLAIN = {str, int, float, bytes, type(None)}


def number_classes() -> None:
    """Give each class a hash of its name.

    The order of a set of classes is otherwise that of their addresses. Django asks for the content types of
    several models in such an order: ``IN (1, 2)`` becomes ``IN (2, 1)``. The engine can patch the hash of
    plain classes; those with a metaclass get a method of it. A class that is a key already keeps its hash.
    """
    hashes = _kept()
    alive: dict[int, Any] = {}

    @unseen
    def of_plain(one: type) -> int:
        return hashes[id(one)] if id(one) in hashes else _by_name(one)  # the engine keeps it

    @unseen
    def of_others(one: type) -> int:
        number = id(one)
        if number not in hashes:
            hashes[number] = _by_name(one)  # kept, because a class can be renamed

            def gone(_: object) -> None:
                del hashes[number], alive[number]

            alive[number] = weakref.ref(one, gone)
        return hashes[number]

    @unseen
    def made(one: Any) -> Any:
        if isinstance(one, type) and issubclass(one, type):
            _give(one, of_others)
        return one

    gc.freeze()  # the engine would keep the hash of every class that it finds
    utils.patch_hash(type, of_plain)
    gc.unfreeze()
    for one in [*_below(type)]:
        _give(one, of_others)
    # Composed in C: a frame between a class and its module would be visible to both.
    builtins.__build_class__ = functional.sequence(builtins.__build_class__, made)


def _give(metaclass: Any, function: Any) -> None:
    if metaclass.__hash__ is _address:
        with suppress(TypeError):  # written in C
            metaclass.__hash__ = function


def _below(one: type) -> Iterator[type]:
    below: type
    for below in type.__subclasses__(one):
        yield below
        yield from _below(below)


def _by_name(one: type) -> int:
    module, name = _attributes(one).get("__module__"), _name(one)
    return hash((module if isinstance(module, str) else "", name))


def _kept() -> dict[int, int]:
    """Return the hashes of the classes that are keys, or parts of keys, of a dictionary or set.

    The collector does not know all dictionaries whose keys are classes written in C: these keep theirs.
    """
    kept = {id(one): _address(one) for one in (object, *_below(object)) if not gc.is_tracked(one)}
    seen = set[int]()
    open_ = [key for one in gc.get_objects() for key in _elements(one)]
    while open_:
        key = open_.pop()
        if isinstance(key, type):
            kept[id(key)] = _address(key)
        elif isinstance(key, weakref.ref):
            open_.append(key())
        elif id(key) not in seen and type(key).__hash__ is not _address:  # made of those of its parts
            seen.add(id(key))
            open_ += [part for one in gc.get_referents(key) for part in _parts(one)]
    return kept


def _elements(container: Any) -> Iterable[Any]:
    kind = type(container)
    if issubclass(kind, dict):
        keys = [*dict.keys(container)]
    elif issubclass(kind, set | frozenset):
        keys = [*(set if issubclass(kind, set) else frozenset).__iter__(container)]
    else:
        return ()
    return () if _PLAIN.issuperset(map(type, keys)) else keys


def _parts(value: Any) -> Iterable[Any]:
    """Return *value*, or the values of the attributes of an object."""
    return dict.values(value) if type(value) is dict else (value,)
