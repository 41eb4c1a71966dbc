"""Changed code whose calls call back: openers of files, functions and collations of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Judgement
from tests.engine.conftest import changed, visiting

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine
SERVER = """
    import os, sqlite3, tempfile, threading
    from flask import Flask

    UNUSED = 0
    app, lock = Flask(__name__), threading.Lock()

    @app.get("/named")
    def named():
        with tempfile.NamedTemporaryFile(mode="w+", delete=False) as file:
            file.write("hello")
        os.unlink(file.name)
        return "named"

    @app.get("/nameless")
    def nameless():
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.seek(0)
            return file.read()

    @app.get("/locked")
    def locked():
        def opener(path, flags):
            with lock:
                return os.open(path, flags, 0o600)

        with open(os.path.join(tempfile.mkdtemp(), "a"), "w", opener=opener) as file:
            file.write("locked")
        return "locked"

    @app.get("/behind")
    def behind():
        def opener(path, flags):
            descriptor = os.open(path, flags, 0o600)
            with lock:
                return descriptor

        with open(os.path.join(tempfile.mkdtemp(), "a"), "w", opener=opener) as file:
            file.write("behind")
        return "behind"

    @app.get("/database")
    def database():
        db = sqlite3.connect(":memory:")
        db.create_function("twice", 1, lambda value: 2 * value)
        db.create_collation("reverse", lambda one, other: (one < other) - (one > other))
        db.execute("create table t (a)")
        db.executemany("insert into t values (?)", [(str(value),) for value in range(4)])
        found = db.execute("select twice(a) from t order by a collate reverse").fetchall()
        db.close()
        return str(found)

    app.run()
"""
CHANGES = {
    "nothing that is used": ("UNUSED = 0", "UNUSED = 1", Judgement.IDENTICAL),
    "another result of a callback, of which the database knows nothing": (
        "2 * value",
        "3 * value",
        Judgement.UNDETERMINED,
    ),
    "other content": ('file.write("locked")', 'file.write("open")', Judgement.DIVERGED),
}


def test_callbacks_of_changed_code(bench: Bench) -> None:
    """They run in turn with other requests, as recorded, and their locks are taken in the recorded order."""
    script = bench.script(SERVER)
    visits = visiting("/named", "/nameless", "/locked", "/behind", "/database")
    bench.record(script, visits, concurrency=8, iterations=3)
    wrong = {}
    for name, expected, verdict in changed(bench, SERVER, CHANGES):
        if verdict.judgement is not expected:
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())


TICKING = """
    import threading, time
    from flask import Flask

    UNUSED = 0
    app = Flask(__name__)

    def tick():
        while True:
            time.sleep(0.0005)
            time.time()

    threading.Thread(target=tick, daemon=True).start()

    @app.get("/ticking")
    def ticking():
        return "tick"

    app.run()
"""


def test_a_thread_that_goes_on_after_the_recording(bench: Bench) -> None:
    """Requests do not wait for a thread that has done all of its recorded steps, and runs on."""
    script = bench.script(TICKING)
    bench.record(script, visiting("/ticking"), concurrency=1, iterations=4)
    bench.script(TICKING.replace("UNUSED = 0", "UNUSED = 1"))
    for _ in range(3):
        verdict = bench.verify(strict=False, timeout=10).verdict
        assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons
