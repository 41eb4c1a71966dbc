"""Gaps of bindings: how the engine recognises an object, and when it forgets one."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import retracesoftware.proxy.system as engine_system
from retracesoftware import stream, utils

if TYPE_CHECKING:
    from collections.abc import Callable


def bind_reused_addresses() -> None:
    """Let an object replace a stale binding at its address.

    ``binder_dealloc`` swaps ``tp_dealloc`` while the original may drop the GIL; an object of that type that
    another thread frees meanwhile keeps its binding. The next object at that address then fails with "object
    is already bound": recording breaks the application, which answers 500 under contention.
    """

    class RebindingBinder(stream.Binder):  # type: ignore[misc]
        def bind(self, obj: object) -> Any:
            try:
                return super().bind(obj)
            except RuntimeError:
                return self.lookup(obj)

    stream.Binder = RebindingBinder


def free_objects_in_one_step() -> None:
    """Write the deletion of a binding with the next item, not while its object is being freed.

    ``binder_dealloc`` reports the deletion before the object leaves the collector's lists. The report runs
    Python code and waits for the writer: another thread that collects meanwhile finds an object without
    references, and frees it a second time. The recorded server dies of SIGSEGV, at once or later.
    """
    deleted: deque[int] = deque()
    thread_switch = utils.thread_switch

    class DeferringBinder(stream.Binder):  # type: ignore[misc]
        def __init__(self, on_delete: object = None) -> None:
            super().__init__(on_delete and deleted.append)  # native: no other thread runs before it returns

    def tell_deletions_first(writer: Callable[..., None], *, on_thread_switch: Callable[..., None]) -> Any:
        def tell(*_: object) -> None:
            while deleted:
                with suppress(IndexError):  # another thread reported it
                    writer("BINDING_DELETE", deleted.popleft())

        return utils.observer(thread_switch(writer, on_thread_switch=on_thread_switch), on_call=tell)

    stream.Binder = DeferringBinder
    utils.thread_switch = tell_deletions_first


def external_objects(target: Any, system: Any) -> Any:
    """Make objects of class *target* external: their calls are recorded, like those of C types.

    A ``system_wrap`` of the overlay, for Python classes around a C library that the engine does not see.
    """
    factories = [name for name, member in vars(target).items() if isinstance(member, classmethod)]
    for name in factories:
        setattr(target, name, staticmethod(system.patch_function(partial(getattr(target, name)))))
    if hasattr(target, "__del__"):  # a replay has only proxies, which do not need a finalizer
        target.__del__ = system.disabled_method_for(target.__del__)
    return target if factories else system.patch_function(partial(target))


_ABSTRACT = (io.IOBase, io.RawIOBase, io.BufferedIOBase, io.TextIOBase, Sequence)
"""Abstract classes, of which the proxies of such objects are subclasses, too."""


def let_proxies_be_what_they_stand_for() -> None:
    """Give the proxy of an external object the class of that object, its hash, and its own attributes.

    While recording, ``isinstance(row, sqlite3.Row)`` is false and ``hash(row)`` raises ``TypeError``, because
    the proxy's type defines only ``__eq__``; a text file has no ``mode``, because its class has none, and its
    type is not an ``io.TextIOBase``. Code that depends on any of these would answer differently.
    """
    stock = engine_system._ext_proxytype_from_spec

    class Proxy(engine_system.DynamicProxy):  # type: ignore[misc]
        __slots__ = ()
        __class__ = property(lambda self: getattr(type(self), "_loadgen_kind", type(self)))

    def ext_proxytype_from_spec(system: Any, module: str, name: str, **spec: Any) -> Any:
        spec["has_custom_getattr"] = spec.get("has_custom_getattr") or spec.get("has_instance_dict")
        proxytype = stock(system, module, name, **spec)
        kind = engine_system.lookup(module, name)
        if isinstance(kind, type):
            proxytype._loadgen_kind = kind
            for abstract in _ABSTRACT:
                if issubclass(kind, abstract):
                    abstract.register(proxytype)
            if proxytype.__hash__ is None and kind.__hash__ is not None:
                hashed = system._wrapped_function(handler=system.ext_gateway, target=kind.__hash__)
                proxytype.__hash__ = hashed
        return proxytype

    engine_system.DynamicProxy = Proxy
    engine_system._ext_proxytype_from_spec = ext_proxytype_from_spec
