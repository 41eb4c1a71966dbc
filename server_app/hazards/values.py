"""Values that are others in each process, or at each call: clocks, randomness, hashes, identities."""

from __future__ import annotations

import os
import random
import resource
import secrets
import threading
import time
import uuid
from datetime import UTC, date, datetime

from server_app.hazards.registry import hazard

SECRET = os.urandom(8).hex()


class Thing:
    """An object that compares and hashes as objects do by default: by its address."""


@hazard()
def wall_clock() -> object:
    """``time.time`` and ``time_ns``."""
    return [time.time(), time.time_ns()]


@hazard()
def monotonic_clock() -> object:
    """``time.monotonic`` and ``monotonic_ns``."""
    return [time.monotonic(), time.monotonic_ns()]


@hazard()
def perf_counter() -> object:
    """``time.perf_counter``."""
    return time.perf_counter()


@hazard()
def perf_counter_ns() -> object:
    """``time.perf_counter_ns``."""
    return time.perf_counter_ns()


@hazard()
def cpu_clock() -> object:
    """``time.process_time`` and ``thread_time``, also in nanoseconds."""
    return [time.process_time(), time.process_time_ns(), time.thread_time(), time.thread_time_ns()]


@hazard()
def clock_gettime() -> object:
    """``time.clock_gettime`` and ``clock_gettime_ns``."""
    return [time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime_ns(time.CLOCK_BOOTTIME)]


@hazard()
def calendar() -> object:
    """The time as it is written out: ``ctime``, ``asctime``, ``localtime``, ``gmtime``, ``strftime``."""
    return [time.ctime(), time.asctime(), tuple(time.localtime()), tuple(time.gmtime()), time.strftime("%c")]


@hazard()
def datetime_now() -> object:
    """``datetime.now`` with and without zone, of a subclass too, ``utcnow``, and ``date.today``."""

    class Later(datetime):
        pass

    now = [datetime.now(), datetime.now(UTC), datetime.utcnow(), Later.now(UTC), date.today()]  # noqa: DTZ003, DTZ005, DTZ011
    return [moment.isoformat() for moment in now]


@hazard()
def resource_usage() -> object:
    """What the process has used, and the machine's load: ``getrusage``, ``os.times``, ``os.getloadavg``."""
    return [resource.getrusage(resource.RUSAGE_SELF).ru_utime, os.times().elapsed, os.getloadavg()]


@hazard()
def random_module() -> object:
    """The functions of ``random``, on the generator that all share."""
    cards = list(range(20))
    random.shuffle(cards)
    drawn = [random.random(), random.getrandbits(64), random.randint(1, 10**9), random.gauss(0, 1)]
    return [drawn, random.choice(range(10**6)), cards]


@hazard()
def random_instance() -> object:
    """Generators of one's own that nobody seeded: ``random.Random()`` and ``SystemRandom``."""
    own = random.Random()
    return [own.random(), own.randrange(10**9), random.SystemRandom().random()]


@hazard()
def secrets_module() -> object:
    """``secrets.token_hex`` and ``randbelow``."""
    return [secrets.token_hex(8), secrets.randbelow(10**9)]


@hazard()
def uuid1() -> object:
    """``uuid.uuid1``: a clock, and the machine's address."""
    return str(uuid.uuid1())


@hazard()
def uuid4() -> object:
    """``uuid.uuid4``: random."""
    return str(uuid.uuid4())


@hazard()
def urandom() -> object:
    """``os.urandom``."""
    return os.urandom(8).hex()


@hazard()
def getrandom() -> object:
    """``os.getrandom``."""
    return os.getrandom(8).hex()


@hazard()
def imported_secret() -> object:
    """A value that a module of the application drew when it was imported."""
    return SECRET


@hazard()
def hash_of_text() -> object:
    """``hash`` of a string, and the order of a set of strings."""
    return [hash("one"), list({f"key-{number}" for number in range(40)})]


@hazard()
def hash_of_objects() -> object:
    """The order of a set of plain objects, which is that of their addresses."""
    things = [Thing() for _ in range(40)]
    places = {id(thing): place for place, thing in enumerate(things)}
    return [places[id(thing)] for thing in set(things)]


@hazard()
def object_id() -> object:
    """``id`` of an object: its address."""
    return id(Thing())


@hazard()
def object_repr() -> object:
    """The default ``repr`` of an object, which has its address."""
    return repr(Thing())


@hazard()
def process_id() -> object:
    """``os.getpid``, ``getppid``, and a name made of them."""
    return [os.getpid(), os.getppid(), f"/run/app.{os.getpid()}"]


@hazard()
def thread_ident() -> object:
    """``threading.get_ident``: an address."""
    return threading.get_ident()


@hazard()
def thread_native_id() -> object:
    """``threading.get_native_id``: the operating system's number."""
    return threading.get_native_id()


@hazard()
def thread_name() -> object:
    """The names of the request's thread, and of one that it makes: they count the process's threads."""
    return [threading.current_thread().name, threading.Thread(target=time.time).name]


@hazard()
def environment() -> object:
    """The environment: a variable that is another in each run, and how many there are."""
    return [os.environ.get("DB_FILE"), len(os.environ)]
