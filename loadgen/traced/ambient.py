"""Answers to ambient calls that were not recorded: a virtual clock, and a seeded random generator.

Changed code may read the clock or draw a random number more often than it did. The answers continue from the
recorded values: a thread's clock stands still at the last value that the thread was given, so that an
additional reading does not shift the recorded ones, and advances only if code seems to wait for it.
"""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retracesoftware import functional, stream

from loadgen.traced.canonical import LOGGING
from loadgen.traced.described import DRAWN, NUMBER, same
from loadgen.traced.kinds import AMBIENT, Kinds, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

_STILL = 200
"""Consecutive unrecorded readings after which the clock advances, because code may be waiting for it."""
_TICK = 0.001

_AMBIENT = re.compile(
    r"time\.(?:time|monotonic|perf_counter|process_time|thread_time|clock_gettime)(?:_ns)?$|"
    r"time\.(?:gmtime|localtime|strftime|ctime|asctime|sleep)$|"
    r"(?:datetime\.|_datetime\.)?datetime\.(?:now|utcnow|today)$|"
    r"posix\.(?:urandom|getrandom|getpid|getppid|getuid|geteuid|getgid|getegid|uname|times|getloadavg|cpu_count|"
    r"getcwd|sched_yield)$|"
    r"_?random\.|Random\.|random\.Random\.|_uuid\.|threading\.(?:_newname|get_native_id)$|_socket\.gethostname$|"
    r"resource\.getrusage$|_thread\.|_ssl\.RAND_"
)
_DRAWN = re.compile(r"(?:cryptography|OpenSSL\.crypto|bcrypt|nacl|uuid_utils|fastuuid)\.")
"""Calls that draw in C: nothing recorded answers another question, and nothing can seed them."""
_FREE = re.compile(r".*\.(?:close|commit|rollback|fileno|closed|settimeout|setblocking)$")
"""Calls without a result; their effect is judged by the transaction or object that they end."""

_now, _live = time.time, {
    name: getattr(time, name)
    for name in dir(time)
    if callable(getattr(time, name)) and not name.startswith("_") and name != "struct_time"
}  # fmt: skip
_fromtimestamp = datetime.fromtimestamp


class Readings:
    """What one thread read, whose clocks go on from there: another thread may have read them since."""

    __slots__ = ("ahead", "asked", "last", "wall")

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        self.wall: float | None = None
        """The last reading of any wall clock, in seconds since the epoch."""
        self.asked: dict[str, int] = {}
        """How often each clock was read since its last recorded reading."""
        self.ahead = 0.0
        """Seconds by which the clocks have advanced, because the thread waited."""


class Ambient:
    """Time and random numbers for calls that the recording does not contain."""

    def __init__(self, kinds: Kinds, seed: int = 0) -> None:
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._random, self._bits = self._chance.random, self._chance.getrandbits
        self._last: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._wall: float | None = None
        self._first_wall: float | None = None
        self._started = {name: read() for name, read in _live.items() if name in _CLOCKS}

    def knows(self, name: str) -> bool:
        """Whether the call *name* is ambient."""
        return bool(_AMBIENT.match(name)) or self._kinds.named(name) == AMBIENT

    def saw(self, name: str, body: list[Any], mine: Readings) -> None:
        """Note the result of a recorded call that is replayed now."""
        if len(body) > 1 and body[-2] == "RESULT" and self.knows(name) and is_plain(body[-1]):
            self._last[name] = mine.last[name] = body[-1]
            mine.asked[name] = 0
            if (wall := _wall_of(name, body[-1])) is not None:
                self._wall = mine.wall = wall

    def read_ahead(self, name: str, body: list[Any]) -> None:
        """Note the result of a recorded call that will be replayed later, as a starting value."""
        if name not in self._first and len(body) > 1 and body[-2] == "RESULT" and is_plain(body[-1]):
            self._first[name] = body[-1]
            if self._first_wall is None:
                self._first_wall = _wall_of(name, body[-1])

    def answer(self, name: str, described: Any, live: Callable[[], Any], mine: Readings) -> tuple[Any] | None:
        """Return the answer to a call that was not recorded, as a 1-tuple; None if there is none.

        A call whose result depends only on its arguments is made *live*.
        """
        if _FREE.match(name):
            return (None,)
        if name == DRAWN:
            return ([],)
        if not self.knows(name):
            return None
        if name.startswith(LOGGING):
            return (len(text_of(described)) if name.endswith(".write") else None,)
        if _DRAWN.match(name):
            return (live(),)
        made = self._made(name, described, live, mine) if _AMBIENT.match(name) else None
        known = next((one for one in (mine.last, self._last, self._first) if name in one), {})
        return made if made is not None or not known else (known[name],)

    def _made(self, name: str, described: Any, live: Callable[[], Any], mine: Readings) -> tuple[Any] | None:
        short = name.rpartition(".")[2]
        numbers = [
            one if isinstance(one, int) else float(one[1])
            for one in (described[1:] if isinstance(described, tuple) else ())
            if isinstance(one, int) or (isinstance(one, tuple) and one[:1] == (NUMBER,))
        ]
        if short in _CLOCKS:
            return (self._clock(name, short, mine),)
        if short in _OF_A_TIME:
            given = sum(one is not None for one in same(described)[1:]) if isinstance(described, tuple) else 0
            return (live(),) if given > _OF_A_TIME[short] else self._of_now(short, described, mine)
        if short in ("now", "utcnow", "today"):
            return self._datetime(short, described, mine)
        return self._other(short, numbers, mine)

    def _clock(self, name: str, short: str, mine: Readings) -> Any:
        """Return the clock's last value; after many readings in a row, later ones."""
        count = mine.asked[name] = mine.asked.get(name, 0) + 1
        if count > _STILL:
            mine.ahead += _TICK
        value = mine.last.get(name, self._last.get(name))
        if value is None:
            value = self._now(mine) - mine.ahead if short.startswith("time") else self._started[short]
            value = int(value * 10**9) if short == "time_ns" else value
        return value + (int(mine.ahead * 10**9) if short.endswith("_ns") else mine.ahead)

    def _now(self, mine: Readings) -> float:
        """Return the last recorded reading of any wall clock, or else the current time."""
        known = (one for one in (mine.wall, self._wall, self._first_wall) if one is not None)
        return float(next(known, self._started["time"])) + mine.ahead

    def _datetime(self, short: str, described: Any, mine: Readings) -> tuple[Any] | None:
        wall = self._now(mine)
        if short == "utcnow":
            return (_fromtimestamp(wall, UTC).replace(tzinfo=None),)
        zone = isinstance(described, tuple) and len(described) > 2  # noqa: PLR2004 - class, zone, site
        if zone and "timezone" not in str(described):
            return None
        return (_fromtimestamp(wall, UTC if zone else None),)

    def _of_now(self, short: str, described: Any, mine: Readings) -> tuple[Any] | None:
        """Return what a function that takes a time, or else the current one, makes of the current one."""
        now = self._now(mine)
        if short in ("gmtime", "localtime", "ctime"):
            return (_live[short](now),)
        parts = _live["localtime"](now)
        if short == "asctime":
            return (_live[short](parts),)
        text = text_of(described)
        return (_live[short](text, parts),) if text else None

    def _other(self, short: str, numbers: list[Any], mine: Readings) -> tuple[Any] | None:
        first = numbers[0] if numbers else None
        answers: dict[str, Callable[[], Any]] = {
            "sleep": lambda: self._sleep(float(first or 0), mine),
            "urandom": lambda: self._bytes(int(first or 0)),
            "getrandom": lambda: self._bytes(int(first or 0)),
            "RAND_bytes": lambda: self._bytes(int(first or 0)),
            "random": self._random,
            "getrandbits": lambda: self._bits(int(first or 1)),
            "generate_time_safe": lambda: (self._bytes(16), None),
            "get_native_id": lambda: 1,
            "getpid": lambda: self._last.get("posix.getpid", 1),
        }
        if short not in answers:
            return None
        return (answers[short](),)

    def _bytes(self, count: int) -> bytes:
        return self._bits(8 * count).to_bytes(count, "little") if count else b""

    @staticmethod
    def _sleep(seconds: float, mine: Readings) -> None:
        mine.ahead += seconds


def is_plain(value: Any) -> bool:
    """Whether *value* contains no object of the tape."""
    if isinstance(value, (int, float, str, bytes)):
        return True
    found = []
    functional.walker(lambda one: found.append(one) if isinstance(one, stream.Binding) else one)(value)
    return not found


def _wall_of(name: str, value: Any) -> float | None:
    """Return the time that a wall clock gave, in seconds since the epoch; None if it is no such clock."""
    if name == "time.time":
        return float(value)
    if name == "time.time_ns":
        return float(value) / 10**9
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if name.endswith(".utcnow") else value).timestamp()
    return None


_OF_A_TIME = {"gmtime": 0, "localtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Functions of a time, or else of the current one, and how many other arguments they have."""
_CLOCKS = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
     "process_time_ns", "thread_time", "thread_time_ns"}
)  # fmt: skip
