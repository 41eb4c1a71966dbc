"""Pacing: the shape of a load (when users start, or when iterations are due). Pure."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from loadgen.core.option import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)"


def parse_duration(text: str) -> float:
    """Return the seconds of ``30s``, ``1m30s``, ``500ms``.

    Raises:
        ValueError: it is not a duration, or is zero.
    """
    if not re.fullmatch(f"(?:{_PART})+", text):
        raise ValueError("write 30s, 1m30s or 500ms")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if not 0 < seconds < math.inf:
        raise ValueError("it must be longer than nothing")
    return seconds


def write_duration(seconds: float) -> str:
    """Format *seconds* for :func:`parse_duration`."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def parse_rate(text: str) -> float:
    """Return the rate per second of ``200/s``, ``30/m``, or ``200``.

    Raises:
        ValueError: it is not a rate, or is zero.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:/(s|m|h))?", text)
    if not found:
        raise ValueError("write 200/s, 30/m or 10/h")
    rate = float(found[1]) / _UNITS[found[2] or "s"]
    if not 0 < rate < math.inf:
        raise ValueError("it must be more than nothing")
    return rate


def write_rate(rate: float) -> str:
    """Format *rate*, per second, for :func:`parse_rate`."""
    return f"{rate:.12f}".rstrip("0").rstrip(".") + "/s"


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a load, in seconds. By default all users start at once and iterate a number of times."""

    duration: Annotated[
        float | None,
        Option(
            ("--duration",),
            "Start iterations for this long (30s, 1m30s), instead of a number of them.",
            "TIME",
            read=parse_duration,
            write=write_duration,
        ),
    ] = None
    """Period in which iterations begin; iterations in progress are finished."""
    ramp_up: Annotated[
        float,
        Option(
            ("--ramp-up",),
            "Stagger user start-up over this period; with --rate, let the rate rise over it.",
            "TIME",
            read=parse_duration,
            write=write_duration,
        ),
    ] = 0.0
    """Period over which the start of users is staggered; with a rate, the rate rises from zero over it."""
    rate: Annotated[
        float | None,
        Option(
            ("--rate",),
            "Start this many iterations (200/s, 30/m) whether or not earlier ones have ended, on up to "
            "--concurrency users; needs --duration.",
            "RATE",
            read=parse_rate,
            write=write_rate,
        ),
    ] = None
    """Iterations due per second, whether or not earlier ones have ended: an open model."""

    def start(self, user: int, of: int) -> float:
        """Return when *user*, one of *of*, starts."""
        return self.ramp_up * user / of

    @property
    def arrivals(self) -> int:
        """Total number of iterations that are due, with a rate."""
        assert self.rate is not None
        assert self.duration is not None
        return math.ceil(round(self.rate * (self.duration - self.ramp_up / 2), 6))

    def schedule(self) -> Iterator[float]:
        """Yield when each iteration is due, with a rate: evenly, except while the rate rises."""
        assert self.rate is not None
        rising = self.rate * self.ramp_up / 2
        for number in range(self.arrivals):
            if number < rising:
                yield math.sqrt(2 * self.ramp_up * number / self.rate)
            else:
                yield number / self.rate + self.ramp_up / 2


AT_ONCE = Shape()
"""All users start at once, and run a fixed number of iterations."""
