"""Changed code with the real engine: a refactoring is identical, a bug is not, the rest is undetermined."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Altered, Judgement
from loadgen.store.run_folder import RunFolder
from loadgen.verify import conclude
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

SERVER = """
    import os, sqlite3, time
    from contextlib import closing
    from flask import Flask, jsonify

    app = Flask(__name__)

    def connected():
        return closing(sqlite3.connect(os.environ["DB_FILE"]))

    with connected() as db:
        db.execute("create table items (id integer primary key, qty integer, at real)")
        db.executemany("insert into items (qty) values (?)", [(1,), (2,), (3,)])
        db.commit()

    @app.get("/read")
    def read():
        with connected() as db:
            count = db.execute("select count(*) from items").fetchone()
            first = db.execute("select qty from items where id = ?", (1,)).fetchone()
            return jsonify(count, first)

    @app.get("/update")
    def update():
        with connected() as db:
            db.execute("update items set qty = ?, at = ? where id = ?", (7, time.time(), 1))
            db.commit()
            return jsonify(db.execute("select qty from items where id = ?", (1,)).fetchone())

    @app.get("/nothing")
    def nothing():
        return jsonify("nothing")

    app.run()
"""
COUNT = '            count = db.execute("select count(*) from items").fetchone()\n'
FIRST = '            first = db.execute("select qty from items where id = ?", (1,)).fetchone()\n'
UPDATE = '            db.execute("update items'
NOTHING = '        return jsonify("nothing")'
SCHEMA = '        db.execute("create table items'
IDENTICAL, DIVERGED, UNDETERMINED = Judgement.IDENTICAL, Judgement.DIVERGED, Judgement.UNDETERMINED
CHANGES = {
    "log line": (COUNT, COUNT + "            app.logger.warning('count %s', count)\n", IDENTICAL),
    "timing": (UPDATE, "            began = time.time(); print(time.time() - began)\n" + UPDATE, IDENTICAL),
    "repeated": (COUNT, COUNT + COUNT, IDENTICAL),
    "moved": (COUNT + FIRST, FIRST + COUNT, IDENTICAL),
    "dropped": (COUNT, "            count = [3]\n", IDENTICAL),
    "renamed": ("connected()", "opened()", IDENTICAL),
    "another answer": ("jsonify(count, first)", "jsonify(first, count)", DIVERGED),
    "another value": ("(7, time", "(0, time", DIVERGED),
    "no commit": ("            db.commit()\n            return", "            return", DIVERGED),
    "twice": (UPDATE, UPDATE.replace("db.execute", "db.execute('delete from items'); db.execute"), DIVERGED),
    "an effect where nothing was asked": (
        NOTHING,
        '        with connected() as db: db.execute("insert into items (qty) values (9)")\n' + NOTHING,
        DIVERGED,
    ),
    "a connection where nothing was asked": (
        NOTHING,
        "        connected().thing.close()\n" + NOTHING,
        IDENTICAL,
    ),
    "another schema": (SCHEMA, SCHEMA.replace("table", "table if not exists"), DIVERGED),
    "an effect more before it serves": (
        SCHEMA,
        "        db.execute('drop table if exists a')\n" + SCHEMA,
        DIVERGED,
    ),
    "a question before it serves": (
        SCHEMA,
        "        db.execute('select 1').fetchone()\n" + SCHEMA,
        UNDETERMINED,
    ),
    "a read in the place of an effect": (
        UPDATE,
        "            db.execute('select 2')\n" + UPDATE,
        UNDETERMINED,
    ),
    "an effect less before a question": (
        '("update items set qty = ?, at = ? where id = ?", (7, time.time(), 1))\n            db.commit()',
        '("delete from items")\n            db.execute("select 3")',
        DIVERGED,
    ),
    "rows fetched in another way": (
        'db.execute("select count(*) from items").fetchone()',
        'next(db.execute("select count(*) from items"))',
        IDENTICAL,
    ),
    "another read": ("select count(*) from", "select count(*) * 2 from", UNDETERMINED),
}


NAMED = {
    "another read": "count(*) * 2",
    "an effect where nothing was asked": "insert into items",
    "an effect more before it serves": "drop table",
    "a question before it serves": "select 1",
    "another schema": "if not exists",
}
"""What a verdict on some of them names, beside the line."""
pytestmark = pytest.mark.engine


def test_changed_code(bench: Bench) -> None:
    """The same answers and effects are identical; other ones are not; a new question is undetermined."""
    script = bench.script(SERVER)
    visits = visiting("/read", "/update", "/nothing", "/read")
    bench.record(script, visits, concurrency=2, iterations=2)
    wrong = {}
    for name, (before, after, expected) in CHANGES.items():
        assert before in SERVER, name
        bench.script(SERVER.replace(before, after))
        verdict = bench.verify(strict=False).verdict
        if verdict.judgement is not expected:
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
        told = " ".join([*(one.message for one in verdict.reasons), *map(str, verdict.divergences)])
        if name in NAMED and not ("serve.py" in told and NAMED[name] in told):
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
    assert not wrong


def test_a_users_row_says_what_a_call_is(bench: Bench) -> None:
    """What nobody knows is an effect; its user says that it is ambient, and one more changes nothing."""
    told = '        syslog.syslog("nothing")\n' + NOTHING
    source = SERVER.replace("sqlite3, time", "sqlite3, syslog, time").replace(NOTHING, told)
    script = bench.script(source)
    bench.record(script, visiting("/nothing"), concurrency=1, iterations=1)
    bench.script(source.replace(told, '        syslog.syslog("once more")\n' + told))
    assert bench.verify(strict=False).verdict.judgement is DIVERGED
    assert bench.verify(strict=False, calls=(r"syslog\..*=ambient",)).verdict.judgement is IDENTICAL


def test_what_changed_around_the_code_is_named(bench: Bench) -> None:
    """A data file is as it was recorded, and is named; a library with another version is changed code."""
    settings = bench.path / "settings.json"
    settings.write_text("1")
    read = f'jsonify(json.load(open("{settings}")))'
    source = SERVER.replace("sqlite3, time", "json, sqlite3, time").replace('jsonify("nothing")', read)
    bench.record(bench.script(source), visiting("/nothing"), concurrency=1, iterations=1)
    settings.write_text("2")
    folder, manifest = RunFolder.open(bench.path / "run")
    assert "flask" in manifest.result.modules
    found = conclude(manifest, [bench.verify(strict=False)]).verdict
    assert (found.judgement, found.facts.changed_sources) == (IDENTICAL, ())
    file = Altered("file", str(settings), "", "")
    assert found.facts.altered == (file,)
    manifest.packages["flask"] = "0.1"
    folder.save(manifest)
    found = conclude(manifest, [bench.verify(strict=False)]).verdict
    assert (found.judgement, found.facts.asked) == (IDENTICAL, ())
    assert found.facts.altered == (Altered("package", "flask", "0.1", version("flask")), file)


POOL = """
    import logging, queue, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from flask import Flask, jsonify

    app = Flask(__name__)
    lock = threading.Lock()
    counted = 0
    pool = queue.LifoQueue()
    for number in range(3):
        pool.put([number, 0])

    def count():
        global counted
        with lock:
            counted += 1
            return counted

    @app.get("/pool")
    def pooled():
        member = pool.get()
        member[1] += 1
        time.sleep(0.002)
        used = tuple(member)
        pool.put(member)
        return jsonify(used)

    @app.get("/count")
    def counts():
        time.sleep(0.001)
        return jsonify(count())

    @app.get("/threads")
    def threads():
        with ThreadPoolExecutor(2) as pool:
            return jsonify(sorted(pool.map(lambda _: count(), range(2))))

    app.run()
"""
SHARING = {
    "log line": (
        "        member[1] += 1\n",
        "        member[1] += 1\n        app.logger.warning('a')\n",
        IDENTICAL,
    ),
    "renamed": ("count()", "next_number()", IDENTICAL),
    "another lock": (
        "        with lock:\n",
        "        with threading.Lock():\n            pass\n        with lock:\n",
        IDENTICAL,
    ),
    "twice": ("counted += 1", "counted += 2", DIVERGED),
}


def test_threads_share_what_they_shared(bench: Bench) -> None:
    """Pools and counters keep their state, whatever other locks are taken; a bug in them is one."""
    bench.record(bench.script(POOL), visiting("/pool", "/count", "/threads"), concurrency=8, iterations=1)
    found = {}
    for name, (before, after, _) in SHARING.items():
        assert before in POOL, name
        bench.script(POOL.replace(before, after))
        found[name] = bench.verify(strict=False).verdict.judgement
    assert found == {name: expected for name, (_, _, expected) in SHARING.items()}
