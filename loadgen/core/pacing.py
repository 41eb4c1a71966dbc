"""Pacing: the shape of a load, which is when users start, or when iterations are due. Pure."""

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
        ValueError: it is not written so, or is no time at all.
    """
    if not re.fullmatch(f"(?:{_PART})+", text):
        raise ValueError("write 30s, 1m30s or 500ms")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if not 0 < seconds < math.inf:
        raise ValueError("it must be longer than nothing")
    return seconds


def write_duration(seconds: float) -> str:
    """Return *seconds* as :func:`parse_duration` reads them."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def parse_rate(text: str) -> float:
    """Return the times a second of ``200/s``, ``30/m``, or ``200``.

    Raises:
        ValueError: it is not written so, or is nothing.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:/(s|m|h))?", text)
    if not found:
        raise ValueError("write 200/s, 30/m or 10/h")
    rate = float(found[1]) / _UNITS[found[2] or "s"]
    if not 0 < rate < math.inf:
        raise ValueError("it must be more than nothing")
    return rate


def write_rate(rate: float) -> str:
    """Return *rate*, in times a second, as :func:`parse_rate` reads it."""
    return f"{rate:.12f}".rstrip("0").rstrip(".") + "/s"


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How load is put on, in seconds. By default all users start at once and iterate a number of times."""

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
    """For how long iterations are begun; what is under way then is finished."""
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
    """Users start one after the other over this time; with a rate, it rises from nothing over this time."""
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
    """Iterations due in a second, whether or not earlier ones have ended: an open model."""

    def start(self, user: int, of: int) -> float:
        """Say when *user* of so many starts."""
        return self.ramp_up * user / of

    @property
    def arrivals(self) -> int:
        """How many iterations are due in all, at a rate."""
        assert self.rate is not None
        assert self.duration is not None
        return math.ceil(round(self.rate * (self.duration - self.ramp_up / 2), 6))

    def schedule(self) -> Iterator[float]:
        """Yield when each iteration is due, at a rate: evenly, but for the time in which it rises."""
        assert self.rate is not None
        rising = self.rate * self.ramp_up / 2
        for number in range(self.arrivals):
            if number < rising:
                yield math.sqrt(2 * self.ramp_up * number / self.rate)
            else:
                yield number / self.rate + self.ramp_up / 2


AT_ONCE = Shape()
"""All users start at once, and iterate so many times."""
