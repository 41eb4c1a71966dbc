"""The order of threads: every wait for a lock is on the tape, and with turns, races in memory repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Judgement
from loadgen.traced import gaps
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from loadgen.core.verdict import Verdict
    from tests.engine.conftest import Bench

SERVER = """
    import queue, random, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor, as_completed
    from flask import Flask, jsonify

    app = Flask(__name__)
    shared, work, simple = ThreadPoolExecutor(4), queue.Queue(), queue.SimpleQueue()
    condition, semaphore, lock = threading.Condition(), threading.Semaphore(2), threading.Lock()
    state = {"seen": 0, "freed": 0}

    def worker():
        while True:
            done, out = work.get()
            out.append((threading.current_thread().name, time.time()))
            done.set()

    def started(target, *arguments):
        threads = [threading.Thread(target=target, args=(*arguments, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [thread.name for thread in threads]

    def pause():
        time.sleep(random.random() / 500)

    @app.get("/pool")
    def pool():
        with ThreadPoolExecutor(3) as own:
            jobs = [own.submit(lambda number=number: (pause(), number)) for number in range(6)]
            first = [job.result()[1] for job in as_completed(jobs)]
        return jsonify(first, [job.result() for job in [shared.submit(time.time) for _ in range(3)]])

    @app.get("/queue")
    def consumers():
        jobs, out = queue.Queue(), []
        def consume(number):
            while (job := jobs.get()) is not None:
                pause()
                out.append([number, job])
        for job in [*range(9), None, None, None]:
            jobs.put(job)
        return jsonify(started(consume), out)

    @app.get("/worker")
    def one_of_two_workers():
        done, out = threading.Event(), []
        work.put((done, out))
        simple.put(time.time())
        pause()
        return jsonify(done.wait(5), out, simple.get())

    @app.get("/barrier")
    def barrier():
        meet, out = threading.Barrier(3), []
        def come(number):
            pause()
            out.append([number, meet.wait()])
        started(come)
        return jsonify(out)

    @app.get("/condition")
    def waiting():
        with condition:
            state["seen"] += 1
            number = state["seen"]
            if number % 2:
                return jsonify(number, condition.wait(0.01))
            condition.notify_all()
        with semaphore:
            pause()
        took = lock.acquire(timeout=0.001)
        pause()
        if took:
            lock.release()
        return jsonify(number, took, time.time())

    @app.get("/race")
    def race():
        out = []
        for _ in range(5):
            seen = state["seen"]
            for _ in range(20_000):
                pass
            state["seen"] = seen + 1
            out.append(seen)
        return jsonify(out)

    class Cycle:
        def __init__(self):
            self.itself = self
        def __del__(self):
            state["freed"] += 1
            time.time()

    @app.get("/cycle")
    def cycle():
        Cycle()
        for _ in range(20_000):
            pass
        return jsonify(state["freed"])

    if __name__ == "__main__":
        sys.setswitchinterval(1e-5)  # races that are rare elsewhere
        for _ in range(2):
            threading.Thread(target=worker, daemon=True).start()
        app.run()
"""
ORDERED = ("/pool", "/queue", "/worker", "/barrier", "/condition")
RACING = ("/race", "/cycle")


def outcome(
    bench: Bench, paths: tuple[str, ...], *, schedule: str = "turns", without: str = "", timeout: float = 15
) -> Verdict:
    bench.without = [without] * bool(without)
    plan = visiting(*paths)
    recorded = bench.record(bench.script(SERVER), plan, iterations=3, schedule=schedule)
    assert recorded.manifest.spec.threads == schedule
    assert set(recorded.totals.statuses) == {200}
    return bench.verify(timeout=timeout).verdict


@pytest.mark.engine
def test_turns(bench: Bench) -> None:
    """Pools, queues, conditions, barriers, and races in memory, finalizers of cycles: all repeat."""
    verdict = outcome(bench, (*ORDERED, *RACING))
    assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()


@pytest.mark.engine
def test_races_in_parallel(bench: Bench) -> None:
    """What two threads do to the same memory without a lock is not on the tape: in parallel it differs."""
    verdict = outcome(bench, RACING * 3, schedule="parallel")
    assert verdict.judgement is Judgement.DIVERGED


@pytest.mark.engine
def test_locks_are_on_the_tape(bench: Bench) -> None:
    """Without their order, threads that wait for one another take other steps than the recorded ones."""
    verdict = outcome(bench, ORDERED, without=gaps.threads.order_the_threads.__name__, timeout=3)
    assert verdict.judgement is not Judgement.IDENTICAL
