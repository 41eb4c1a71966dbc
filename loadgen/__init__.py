"""Record a WSGI server under concurrent load, replay it without its database, and compare every answer.

Scenario files import :func:`scenario`, and :class:`User` for annotations, from here.

The package imports both only on demand, because :mod:`loadgen.traced` is loaded inside the server under test,
and imports of this module would be loaded there too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from loadgen.client.scenario import User, scenario

__all__ = ["User", "__version__", "scenario"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in {"User", "scenario"}:
        from loadgen.client import scenario as module  # noqa: PLC0415

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
