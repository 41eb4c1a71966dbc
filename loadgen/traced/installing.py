"""How our own code gets into the engine before it installs itself, and stays out of compared stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from retracesoftware import utils
from retracesoftware.proxy.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def unseen(function: _Function) -> _Function:
    """Keep *function* out of the stacks that are compared: the phases come here differently."""
    utils.exclude_from_stacktrace(function)
    return function


def when_installed(do: Callable[[Any], None]) -> None:
    """Have *do* called with the engine's ``system`` once that is made, and before it changes anything.

    The function that was registered last is called first.
    """
    stock = System.install

    def install(system: Any) -> Any:
        do(system)
        return stock(system)

    System.install = install
