"""Where a gap is closed with the engine's own ``system`` at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retracesoftware.proxy.system import System

if TYPE_CHECKING:
    from collections.abc import Callable


def when_installed(do: Callable[[Any], None]) -> None:
    """Have *do* called with the engine's ``system`` once that is made, and before it changes anything."""
    stock = System.install

    def install(system: Any) -> Any:
        do(system)
        return stock(system)

    System.install = install
