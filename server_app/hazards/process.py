"""What happens to a process: finalizers, weak references, signals, tracebacks, log lines."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
import traceback
import weakref

from server_app.hazards.registry import hazard

FINALIZED: list[float] = []
SIGNALLED: list[float] = []
ALIVE: weakref.WeakValueDictionary[int, Thing]


class Thing:
    """An object that says when it is finalized."""

    def __init__(self) -> None:
        self.other: Thing | None = None

    def __del__(self) -> None:
        FINALIZED.append(time.time())


ALIVE = weakref.WeakValueDictionary()


@hazard()
def finalizer() -> object:
    """``__del__`` of an object that is dropped, and ``weakref.finalize`` of another."""
    dropped, seen = Thing(), list[float]()
    watched = type("Watched", (), {})()
    weakref.finalize(watched, lambda: seen.append(time.time()))
    del dropped, watched
    return [seen, FINALIZED[-1]]


@hazard()
def finalizer_of_cycles() -> object:
    """``__del__`` of objects that refer to each other: it runs when the collector does."""
    for _ in range(40):
        one, other = Thing(), Thing()
        one.other, other.other = other, one
        _ = [[] for _ in range(20)]
    return [len(FINALIZED), time.time()]


@hazard()
def collector() -> object:
    """``gc.collect``: how much there was to collect."""
    one, other = Thing(), Thing()
    one.other, other.other = other, one
    del one, other
    return [gc.collect(), len(FINALIZED), time.time()]


@hazard()
def weak_references() -> object:
    """A ``WeakValueDictionary``: what is still alive of what earlier requests put into it."""
    for number in range(40):
        one = ALIVE[len(ALIVE) + number] = Thing()
        one.other = one
    return [len(ALIVE), time.time()]


def _note(*_: object) -> None:
    SIGNALLED.append(time.time())


@hazard(start=lambda: signal.signal(signal.SIGUSR1, _note))
def signal_to_itself() -> object:
    """A signal that the process sends to itself: its handler runs in the main thread, some time later."""
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.005)
    return [len(SIGNALLED), time.time()]


@hazard(start=lambda: signal.signal(signal.SIGALRM, _note))
def signal_timer() -> object:
    """A timer whose handler runs in the main thread when it is due."""
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(0.005)
    return [len(SIGNALLED), time.time()]


@hazard()
def error_with_traceback() -> object:
    """A traceback as text, with a value of its own."""
    try:
        return dict[str, str]()[f"key at {time.time()}"]
    except KeyError:
        return traceback.format_exc()


@hazard()
def log_record() -> object:
    """A log line with the time, and the names and numbers of process and thread."""
    made = logging.LogRecord("hazards", logging.INFO, __file__, 1, "asked", (), None)
    layout = "%(asctime)s %(relativeCreated)d %(process)d %(threadName)s %(msg)s"
    return logging.Formatter(layout).format(made)
