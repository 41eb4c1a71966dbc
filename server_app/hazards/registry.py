"""The register of hazards: each is one function, named as its path is, whose docstring says what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

Serve: TypeAlias = Callable[[], object]

HAZARDS: Final[dict[str, Hazard]] = {}
"""All of them by name, in the order of the modules."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One source of nondeterminism, as an endpoint."""

    name: str
    kind: str
    """What it is about: the module that has it."""
    shows: str
    """What it shows, in a sentence."""
    serve: Serve
    """Answers a request: a value that is sent as JSON, or a response."""
    start: Callable[[], object] | None
    """What it needs at start-up, if anything; run while the application is built."""
    needs: str
    """The package that it needs beside Flask, if any."""


def hazard(*, start: Callable[[], object] | None = None, needs: str = "") -> Callable[[Serve], Serve]:
    """Register the decorated function as a hazard."""

    def register(serve: Serve) -> Serve:
        shows = " ".join((serve.__doc__ or "").split())
        name = serve.__name__
        HAZARDS[name] = Hazard(name, serve.__module__.rpartition(".")[2], shows, serve, start, needs)
        return serve

    return register
