"""Scenarios: the behaviour of a virtual user, iteration by iteration, as plain httpx code.

The decorator :func:`scenario` makes the built-in scenarios and those of a user's file.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from random import Random

    import httpx


@dataclass(slots=True)
class User:
    """A virtual user: one sequential client."""

    id: int
    """Number of this user, from 0."""
    of: int
    """Number of users."""
    http: httpx.AsyncClient
    """Its HTTP client; relative URLs reach the server under test."""
    rng: Random
    """Its random generator, seeded from the run's seed and its number."""
    say: Callable[[str], None]
    """Prints a line as progress."""
    data: dict[str, Any] = field(default_factory=dict)
    """Its own state, kept between iterations."""


if TYPE_CHECKING:
    Step = Callable[[User], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named behaviour; called, it runs one iteration."""

    name: str
    summary: str
    run: Step
    """One iteration of one user."""
    concurrency: int = 8
    """Default number of virtual users."""
    iterations: int = 10
    """Default number of iterations of each user."""
    weight: float = 1
    """How often it is chosen, relative to the others of its file."""
    think: tuple[float, float] = (0, 0)
    """Smallest and largest number of seconds between two iterations of a user."""
    setup: Step | None = None
    """Run once by each user before its first iteration; if it fails, the user runs no iterations."""
    teardown: Step | None = None
    """Run once by each user after its last iteration."""
    parts: tuple[Scenario, ...] = ()
    """The scenarios of a mix."""
    file: Path | None = None
    """The file that it was read from; None: it is built in."""
    requests: Callable[[int], int] | None = None
    """Returns the number of requests of the given number of users in one iteration each, if known."""

    async def __call__(self, user: User) -> None:
        """Run one iteration, as part of another scenario."""
        await self.run(user)

    def pick(self, rng: Random) -> Scenario:
        """Return the scenario of the next iteration: for a mix, one chosen by weight."""
        if not self.parts:
            return self
        return rng.choices(self.parts, [part.weight for part in self.parts])[0]

    def setups(self) -> list[Step]:
        """Return the set-up steps of a user, each once, even if several scenarios share it."""
        return list(dict.fromkeys(part.setup for part in self.parts or (self,) if part.setup))

    def teardowns(self) -> list[Step]:
        """Return the tear-down steps of a user, in the opposite order."""
        return list(dict.fromkeys(part.teardown for part in self.parts or (self,) if part.teardown))[::-1]


def mix(name: str, parts: tuple[Scenario, ...]) -> Scenario:
    """Return a scenario in which each iteration is one of *parts*, chosen by weight."""

    async def run(user: User) -> None:
        await picked.pick(user.rng).run(user)

    picked = Scenario(name, ", ".join(part.name for part in parts), run, parts=parts)
    return picked


@overload
def scenario(run: Step, /) -> Scenario: ...


@overload
def scenario(
    *,
    weight: float = 1,
    think: float | tuple[float, float] = 0,
    setup: Step | None = None,
    teardown: Step | None = None,
    concurrency: int = 8,
    iterations: int = 10,
) -> Callable[[Step], Scenario]: ...


def scenario(
    run: Step | None = None,
    /,
    *,
    weight: float = 1,
    think: float | tuple[float, float] = 0,
    setup: Step | None = None,
    teardown: Step | None = None,
    concurrency: int = 8,
    iterations: int = 10,
) -> Scenario | Callable[[Step], Scenario]:
    """Make a scenario of an ``async def name(user)``: as ``@scenario``, or ``@scenario(weight=3, ...)``.

    *think* is the pause in seconds, or the least and the most, between which each pause is drawn. The
    scenario is named after the function, and described by the first line of its docstring.

    Raises:
        UsageError: an argument is not valid.
    """
    if not _number(weight) or weight <= 0:
        raise UsageError(f"weight must be a number above 0, not {weight!r}")
    low, high = pause = think if isinstance(think, tuple) and len(think) == 2 else (think, think)  # noqa: PLR2004
    if not (_number(low) and _number(high) and 0 <= low <= high):
        raise UsageError(f"think must be seconds, or (least, most), not {think!r}")
    for name, count in (("concurrency", concurrency), ("iterations", iterations)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UsageError(f"{name} must be a number from 1, not {count!r}")
    for step in (setup, teardown):
        if step is not None:
            _check(step)

    def made(run: Step) -> Scenario:
        _check(run)
        told = (inspect.getdoc(run) or "").partition("\n")[0]
        name = getattr(run, "__name__", type(run).__name__)
        return Scenario(name, told, run, concurrency, iterations, weight, pause, setup, teardown)

    return made if run is None else made(run)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(step: Step) -> None:
    """Refuse a function that a virtual user cannot run."""
    name = getattr(step, "__name__", repr(step))
    if isinstance(step, Scenario):
        raise UsageError(f"{step.name} is already a scenario")
    if inspect.isasyncgenfunction(step):
        raise UsageError(
            f"{name} has a yield, with which it is a generator and not an async function",
            advice="Leave out the yield; what runs before and behind the iterations is setup= and teardown=.",
        )
    if not inspect.iscoroutinefunction(step):
        raise UsageError(f"{name} is not an async function", advice=f"Write: async def {name}(user): ...")
    try:
        inspect.signature(step).bind(None)
    except TypeError:
        raise UsageError(
            f"{name} must take one argument, the user", advice=f"Write: async def {name}(user): ..."
        ) from None
