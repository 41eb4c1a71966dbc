"""What a scenario is: one iteration of one virtual user, as plain httpx code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    import httpx


@dataclass(slots=True)
class User:
    """A virtual user: one sequential client."""

    id: int
    """Number of this user, from 0."""
    of: int
    """How many there are."""
    http: httpx.AsyncClient
    """Where its requests go; relative URLs reach the server under test."""
    rng: Random
    """Its own source of choices, seeded from the run's seed and its number."""
    say: Callable[[str], None]
    """Tells a line of the story to whoever watches."""
    data: dict[str, Any] = field(default_factory=dict)
    """Its own state, kept from iteration to iteration."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named behaviour."""

    name: str
    summary: str
    run: Callable[[User], Awaitable[None]]
    """One iteration of one user."""
    concurrency: int = 8
    """Virtual users, where the command line names none."""
    iterations: int = 10
    """Iterations of each user, where the command line names none."""
