"""Thresholds of ``--fail-if``: a figure of a session, compared with a limit. Pure.

``p99>200ms``, ``max>=2s``, ``failed>1%``, ``status_5xx>0``, ``status_404>3``, ``rate<50/s``.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.latency import Histogram
    from loadgen.core.tally import RequestTally

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt,
    "<": operator.lt,
}  # fmt: skip
_EXPRESSION = re.compile(
    r"\s*(?P<figure>[a-z][a-z0-9_.]*)\s*(?P<operator>[<>]=?|==|!=)\s*(?P<number>\d+(?:\.\d+)?)\s*"
    r"(?P<unit>ms|s|m|%|/s)?\s*"
)
_TIMES = re.compile(r"(?:(?P<which>corrected|succeeded|failed)_)?(?:p(?P<percent>\d+(?:\.\d+)?)|max)")
_STATUS = re.compile(r"status_(?P<first>[1-5])(?P<rest>xx|\d\d)")
_COUNTS = ("requests", "failed", "succeeded", "unanswered")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_HUNDRED = 100
KNOWN = (
    "p50, p99.9, ... or max, also as succeeded_p99, failed_p99, corrected_p99 (a time: ms, s, m); "
    "status_5xx, status_404, failed, succeeded, unanswered, requests (a number, or % of the requests); "
    "rate (/s)"
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition under which a run has failed."""

    text: str
    figure: str
    sign: str
    limit: float
    """In seconds, a number of requests, a percentage, or requests per second."""
    unit: str

    def measured(self, tally: RequestTally, seconds: float) -> float:
        """Return the figure, in the unit of the limit, of a session of *seconds*."""
        if times := _TIMES.fullmatch(self.figure):
            histogram = _histogram(times["which"], tally)
            percent = times["percent"]
            return histogram.longest if percent is None else histogram.percentile(float(percent))
        if self.figure == "rate":
            return tally.ended / seconds if seconds > 0 else 0.0
        count = _count(self.figure, tally)
        if self.unit != "%":
            return count
        return _HUNDRED * count / tally.ended if tally.ended else 0.0

    def crossed(self, measured: float) -> bool:
        """Whether the condition holds, which means that the run has failed."""
        return _OPERATORS[self.sign](measured, self.limit)

    def worded(self, measured: float) -> str:
        """Format *measured* as in the option."""
        if self.unit in _SECONDS:
            return f"{measured / _SECONDS[self.unit]:.4g}{self.unit}"
        return f"{measured:.4g}{self.unit}"


def parse(text: str) -> Threshold:
    """Parse a condition.

    Raises:
        ValueError: it is not a condition; the message describes the syntax.
    """
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        raise ValueError("it is not a figure, an operator and a number: 'p99>200ms', 'failed>1%'")
    figure, unit = found["figure"], found["unit"] or ""
    if times := _TIMES.fullmatch(figure):
        allowed: tuple[str, ...] = tuple(_SECONDS)
        if times["percent"] is not None and not 0 < float(times["percent"]) <= _HUNDRED:
            raise ValueError(f"{figure} is not a percentile")
    elif figure == "rate":
        allowed = ("/s",)
    elif figure in _COUNTS or _STATUS.fullmatch(figure):
        allowed = ("", "%")
    else:
        raise ValueError(f"there is no figure {figure!r}: there are {KNOWN}")
    if unit not in allowed:
        needed = " or ".join(one or "no unit" for one in allowed)
        raise ValueError(f"{figure} is given with {needed}")
    limit = float(found["number"]) * _SECONDS.get(unit, 1.0)
    return Threshold(text.strip(), figure, found["operator"], limit, unit)


def _histogram(which: str | None, tally: RequestTally) -> Histogram:
    match which:
        case "corrected":
            return tally.corrected
        case "succeeded":
            return tally.succeeded
        case "failed":
            return tally.failed
    return tally.latency


def _count(figure: str, tally: RequestTally) -> int:
    match figure:
        case "requests":
            return tally.ended
        case "failed":
            return tally.failed.count
        case "succeeded":
            return tally.succeeded.count
        case "unanswered":
            return tally.unanswered
    wanted = figure.removeprefix("status_").removesuffix("xx")
    return sum(count for status, count in tally.statuses.items() if str(status).startswith(wanted))
