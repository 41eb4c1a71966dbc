"""Hooks into the engine's installation, and a way to stay out of compared stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from retracesoftware import utils
from retracesoftware.modules import ModuleConfigResolver
from retracesoftware.proxy.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def unseen(function: _Function) -> _Function:
    """Exclude *function* from compared stacks, because the two phases reach it differently."""
    utils.exclude_from_stacktrace(function)
    return function


def reconfigure(module: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Let *change* make the engine's configuration of *module* from the stock one."""
    _each_configuration(lambda name, config: change(config) if name == module else config)


def each_module(note: Callable[[str], object]) -> None:
    """Call *note* with the name of each module that the engine has a configuration of."""

    def noted(name: str, config: dict[str, Any]) -> dict[str, Any]:
        note(name)
        return config

    _each_configuration(noted)


def _each_configuration(change: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    register = ModuleConfigResolver._register

    def changed(resolver: Any, name: str, config: dict[str, Any]) -> None:
        register(resolver, name, change(name, config))

    ModuleConfigResolver._register = changed


def when_installed(do: Callable[[Any], None]) -> None:
    """Call *do* with the engine's ``system`` when it exists, before it changes anything.

    The function that was registered last is called first.
    """
    stock = System.install

    def install(system: Any) -> Any:
        do(system)
        return stock(system)

    System.install = install
