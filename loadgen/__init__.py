"""Does a recorded Flask server, replayed, give exactly the same answers, even under concurrency?

A scenario file imports :func:`scenario`, and :class:`User` for its annotations, from here.

This package's root imports nothing until it is asked for these: :mod:`loadgen.traced` is loaded inside the
server under test, and whatever is imported here would be loaded there too.
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
