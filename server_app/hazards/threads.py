"""Requests and threads that meet: shared state, locks, queues, pools, background threads, asyncio."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import cache

from flask import Response, request

from server_app.hazards.registry import hazard

LOCK = threading.Lock()
RLOCK = threading.RLock()
SLOTS = threading.BoundedSemaphore(2)
FREE = threading.Condition()
LOCAL = threading.local()
POOL = ThreadPoolExecutor(4)
JOBS: queue.Queue[Future[float]] = queue.Queue()
COUNTS: dict[str, int] = {"bare": 0, "memory": 0, "lock": 0, "rlock": 0, "slots": 0, "ticks": 0}
CONNECTIONS = ["first", "second"]
LAZY: dict[int, float] = {}
AWOKEN: list[int] = []


def _turn() -> int:
    return request.args.get("user", 0, int) * 7 + request.args.get("turn", 0, int)


def _spin(times: int) -> None:
    """Compute, without a call that leaves the interpreter."""
    for _ in range(times):
        pass


@hazard()
def shared_state() -> object:
    """A counter without a lock, and a call to the outside between reading and writing it: lost updates."""
    seen = []
    for _ in range(10):
        seen.append(COUNTS["bare"])
        time.sleep(0.0005)
        COUNTS["bare"] = seen[-1] + 1
    return seen


@hazard()
def shared_state_in_memory() -> object:
    """A counter without a lock, and only computation between reading and writing it: lost updates."""
    seen = []
    for _ in range(10):
        seen.append(COUNTS["memory"])
        _spin(50_000)
        COUNTS["memory"] = seen[-1] + 1
    return seen


@hazard()
def shared_state_locked() -> object:
    """A counter under a ``Lock``: nothing is lost, but who comes when is open."""
    seen = []
    for _ in range(10):
        with LOCK:
            seen.append(COUNTS["lock"])
            time.sleep(0)
            COUNTS["lock"] = seen[-1] + 1
    return seen


@hazard()
def shared_state_rlocked() -> object:
    """A counter under an ``RLock`` that is taken twice."""
    seen = []
    for _ in range(10):
        with RLOCK, RLOCK:
            seen.append(COUNTS["rlock"])
            time.sleep(0)
            COUNTS["rlock"] = seen[-1] + 1
    return seen


@hazard()
def lock_without_waiting() -> object:
    """A ``Lock`` that is tried without waiting: who gets it."""
    if not LOCK.acquire(blocking=False):
        return ["busy", time.time()]
    try:
        time.sleep(0.002)
        return ["mine", time.time()]
    finally:
        LOCK.release()


@hazard()
def semaphore() -> object:
    """A ``BoundedSemaphore`` with two slots: who comes when."""
    with SLOTS:
        COUNTS["slots"] += 1
        time.sleep(0.001)
        return [COUNTS["slots"], time.time()]


@hazard()
def condition() -> object:
    """Two connections and a ``Condition``, as in a database pool: who gets which, after whom."""
    with FREE:
        while not CONNECTIONS:
            FREE.wait()
        mine = CONNECTIONS.pop()
    time.sleep(0.001)
    with FREE:
        CONNECTIONS.append(mine)
        FREE.notify()
    return [mine, time.time()]


@hazard()
def barrier() -> object:
    """Three threads of the request that meet at a ``Barrier``, each then asking the time."""
    meeting, times = threading.Barrier(3), list[float]()

    def meet() -> None:
        meeting.wait()
        times.append(time.time())

    _run([meet] * 3)
    return times


@hazard()
def thread_local() -> object:
    """``threading.local``: what an earlier request left there."""
    LOCAL.count = getattr(LOCAL, "count", 0) + 1
    return [LOCAL.count, time.time()]


def _work() -> None:
    while True:
        JOBS.get().set_result(time.time())


@hazard(start=lambda: threading.Thread(target=_work, daemon=True).start())
def queue_to_a_worker() -> object:
    """A ``Queue`` to one worker thread, which was started with the application."""
    job = Future[float]()
    JOBS.put(job)
    return job.result(timeout=10)


@hazard()
def queue_to_several() -> object:
    """A ``Queue`` with three consumers, in threads of the request: who gets what."""
    jobs: queue.Queue[int | None] = queue.Queue()
    done: list[tuple[int, str, float]] = []

    def consume() -> None:
        while (job := jobs.get()) is not None:
            done.append((job, threading.current_thread().name[:6], time.time()))

    for job in (*range(9), None, None, None):
        jobs.put(job)
    _run([consume] * 3)
    return done


@hazard()
def threads_in_a_request() -> object:
    """Threads that a request starts and joins, each asking the time twice."""
    times: list[list[float]] = []
    _run([lambda: times.append([time.time(), time.time()])] * 3)
    return times


def _tick() -> None:
    while True:
        time.sleep(0.003)
        COUNTS["ticks"] += 1


@hazard(start=lambda: threading.Thread(target=_tick, daemon=True).start())
def background_from_start() -> object:
    """A background thread, started with the application, that counts while requests are served."""
    return [COUNTS["ticks"], time.time()]


def _import_ticking() -> None:
    import server_app.hazards.ticking  # noqa: F401, PLC0415 - the import is what it shows


@hazard(start=_import_ticking)
def background_from_import() -> object:
    """A background thread that a module starts while it is imported."""
    from server_app.hazards import ticking  # noqa: PLC0415 - not before it is wanted

    return [ticking.TICKS["count"], time.time()]


@hazard()
def background_from_request() -> object:
    """A thread that a request starts and does not wait for: what earlier ones have done by now."""
    before = COUNTS["ticks"]

    def later() -> None:
        time.sleep(0.002)
        COUNTS["ticks"] += 1

    threading.Thread(target=later, daemon=True).start()
    time.sleep(0.001)
    return [before, COUNTS["ticks"]]


@hazard()
def pool_in_a_request() -> object:
    """A ``ThreadPoolExecutor`` of the request's own, its results in the order of the jobs."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda number: [number, time.time()], range(6)))


@hazard()
def pool_as_completed() -> object:
    """A ``ThreadPoolExecutor`` of the request's own, its results in the order in which they are there."""

    def job(number: int) -> int:
        time.sleep(random.random() / 300)
        return number

    with ThreadPoolExecutor(3) as pool:
        return [done.result() for done in as_completed([pool.submit(job, number) for number in range(6)])]


@hazard()
def pool_of_all() -> object:
    """A ``ThreadPoolExecutor`` that all requests share."""
    return [job.result(timeout=10) for job in [POOL.submit(time.time) for _ in range(3)]]


@hazard()
def asyncio_tasks() -> object:
    """Tasks of an ``asyncio`` loop in the request, sleeping and asking the time."""

    async def one(number: int) -> list[float]:
        await asyncio.sleep(random.random() / 300)
        return [number, time.time()]

    async def run() -> list[list[float]]:
        return await asyncio.gather(*(one(number) for number in range(4)))

    return asyncio.run(run())


@hazard()
def asyncio_as_completed() -> object:
    """``asyncio.as_completed``, which starts its tasks in the order of a set of plain objects."""

    async def one(number: int) -> tuple[int, float]:
        await asyncio.sleep(random.random() / 300)
        return number, time.time()

    async def run() -> list[tuple[int, float]]:
        return [await each for each in asyncio.as_completed([one(number) for number in range(4)])]

    return asyncio.run(run())


@hazard()
def asyncio_to_thread() -> object:
    """``asyncio.to_thread``: a loop in the request, and its thread pool."""

    async def run() -> list[float]:
        return await asyncio.gather(*(asyncio.to_thread(time.time) for _ in range(3)))

    return asyncio.run(run())


@cache
def _cached(key: int) -> float:
    return time.time() + key


@hazard()
def cache_of_functools() -> object:
    """``functools.cache``: which request computes a value that others then get."""
    return [_cached(number) for number in range(1 + _turn() % 5)]


@hazard()
def cache_filled_lazily() -> object:
    """A dictionary that requests fill without a lock: which request computes what others get."""
    for key in range(10):
        if key not in LAZY:
            LAZY[key] = time.time()
    if len(LAZY) == 10:  # noqa: PLR2004 - as many as above: to be filled again
        return [LAZY.pop(key, None) for key in range(10)]
    return None


@hazard()
def generator() -> object:
    """A streamed answer whose generator asks the time before each piece."""

    def pieces() -> object:
        for number in range(5):
            yield f"{number} {time.time()}\n"

    return Response(pieces())  # type: ignore[arg-type]


@hazard()
def order_of_waking() -> object:
    """Requests that sleep for a random while: the order in which they wake."""
    time.sleep(random.random() / 100)
    AWOKEN.append(_turn())
    return AWOKEN[-8:]


def _run(targets: list[object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
