"""Gaps of clocks: what classes of the application make of the time is made in both phases."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from loadgen.traced.gaps import draws
from loadgen.traced.installing import unseen

if TYPE_CHECKING:
    from collections.abc import Callable

_NOW = vars(datetime)["now"]  # before the engine replaces it
_live = time.time


def moment(target: Callable[..., datetime], system: Any) -> Any:
    """Return ``now``, ``utcnow`` or ``today`` of ``datetime``. A ``system_wrap`` of the overlay.

    The engine records the object that is returned. So subclasses would get a plain ``datetime``. And the tape
    would end at a time zone whose class cannot be unpickled, because its constructor needs arguments.
    """
    recorded, location = system.patch_function(target), system.gate.get
    zone = (UTC,) if target.__name__ == "utcnow" else ()

    def of(kind: type[datetime], at: datetime, zone: tzinfo | None) -> datetime:
        if kind is datetime and at.tzinfo is zone:
            return at
        date, clock = (at.year, at.month, at.day), (at.hour, at.minute, at.second, at.microsecond)
        return kind(*date, *clock, zone, fold=at.fold)

    @unseen
    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        if location() != "internal" or not isinstance(tz, tzinfo | None):
            if draws.drawing():
                return cls.fromtimestamp(draws.draw("datetime.now", _live), tz)
            return _NOW.__get__(None, cls)(tz)  # type: ignore[no-any-return]
        if tz is None:
            return of(cls, recorded(), None)
        return tz.fromutc(of(cls, recorded(UTC), tz))

    @unseen
    def other(cls: type[datetime]) -> datetime:
        if location() != "internal" and draws.drawing():
            return cls.fromtimestamp(draws.draw("datetime.now", _live), *zone).replace(tzinfo=None)
        return of(cls, recorded(), None)

    return classmethod(now if target.__name__ == "now" else other)
