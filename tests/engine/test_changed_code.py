"""Changed code with the real engine: a refactoring is identical, a bug is not, the rest is undetermined."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Altered, Judgement
from loadgen.store.run_folder import RunFolder
from loadgen.verify import conclude
from tests.engine.conftest import changed, visiting

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

SERVER = """
    import logging, os, sqlite3, time
    from contextlib import closing
    from pathlib import Path
    from flask import Flask, jsonify

    app = Flask(__name__)
    audit = logging.getLogger("audit")
    audit.addHandler(logging.FileHandler(__file__ + ".log"))

    def connected():
        return closing(sqlite3.connect(os.environ["DB_FILE"]))

    with connected() as db:
        db.execute("create table items (id integer primary key, qty integer, at real)")
        db.execute("create table kinds (id integer primary key)")
        db.executemany("insert into items (qty) values (?)", [(1,), (2,), (3,)])
        db.commit()

    @app.get("/read")
    def read():
        with connected() as db:
            count = db.execute("select count(*) from items").fetchone()
            first = db.execute("select qty from items where id = ?", (1,)).fetchone()
            db.execute("select count(*) from kinds").fetchone()
            return jsonify(count, first)

    @app.get("/update")
    def update():
        with connected() as db:
            db.execute("update items set qty = ?, at = ? where id = ?", (7, time.time(), 1))
            db.commit()
            return jsonify(db.execute("select qty from items where id = ?", (1,)).fetchone())

    @app.get("/blocks")
    def blocks():
        with connected() as db:
            with db:
                found = db.execute("select qty from items where id = ?", (2,)).fetchone()
            with db:
                db.execute("update items set qty = ? where id = ?", (found[0] + 1, 2))
            with db:
                return jsonify(db.execute("select qty from items where id = ?", (2,)).fetchone())

    @app.get("/nothing")
    def nothing():
        audit.warning("nothing")
        Path(__file__ + ".txt").write_text(str(time.time()))
        return jsonify("nothing")

    @app.get("/rows")
    def rows():
        with connected() as db:
            db.row_factory = sqlite3.Row
            row = db.execute("select id, qty as amount from items where id = ?", (2,)).fetchone()
            with open(__file__ + ".csv", "a") as file:
                file.write(f"{time.time()}\\n")
            db.execute("update items set at = ? where id = ?", (time.time(), row["id"]))
            db.commit()
            return jsonify(row["id"])

    app.run()
"""
ROW = """row = db.execute("select id, qty as amount from items where id = ?", (2,)).fetchone()
"""
APPENDED = """            with open(__file__ + ".csv", "a") as file:
                file.write(f"{time.time()}\\n")
"""
SET = """            db.execute("update items set at = ? where id = ?", (time.time(), row["id"]))
            db.commit()
"""
COUNT = '            count = db.execute("select count(*) from items").fetchone()\n'
FIRST = '            first = db.execute("select qty from items where id = ?", (1,)).fetchone()\n'
UPDATE = '            db.execute("update items'
BLOCK = """            with db:
                found = db.execute("select qty from items where id = ?", (2,)).fetchone()
"""
KINDS = '        with connected() as db: db.execute("select count(*) from kinds").fetchone()\n'
NOTHING = '        return jsonify("nothing")'
SCHEMA = '        db.execute("create table items'
IDENTICAL, DIVERGED, UNDETERMINED = Judgement.IDENTICAL, Judgement.DIVERGED, Judgement.UNDETERMINED
CHANGES = {
    "log line": (COUNT, COUNT + "            app.logger.warning('count %s', count)\n", IDENTICAL),
    "timing": (UPDATE, "            began = time.time(); print(time.time() - began)\n" + UPDATE, IDENTICAL),
    "repeated": (COUNT, COUNT + COUNT, IDENTICAL),
    "repeated in a block of its own": (BLOCK, BLOCK + BLOCK, IDENTICAL),
    "a commit of nothing": (COUNT, COUNT + "            db.commit()\n", IDENTICAL),
    "a log line to a file": (NOTHING, "        audit.warning('something')\n" + NOTHING, IDENTICAL),
    "a log line to a file less": ('        audit.warning("nothing")\n', "", IDENTICAL),
    "a file written in another way": (
        'Path(__file__ + ".txt").write_text(str(time.time()))',
        'with open(__file__ + ".txt", "w") as file: file.write(str(time.time()))',
        IDENTICAL,
    ),
    "a clock read before another one": (
        "    @app.get",
        "    @app.before_request\n    def begin(): time.time()\n\n    @app.get",
        IDENTICAL,
    ),
    "another field of a row": (
        'return jsonify(row["id"])',
        'app.logger.info("%s %s", row["amount"], dict(row)); return jsonify(row["id"])',
        IDENTICAL,
    ),
    "another isolation level": (
        UPDATE,
        "            db.isolation_level = 'IMMEDIATE'\n" + UPDATE,
        DIVERGED,
    ),
    "rows of another kind": (COUNT, "            db.row_factory = sqlite3.Row\n" + COUNT, UNDETERMINED),
    "a row as an object fetched in another way": (
        ROW,
        ROW.replace("db.execute", "next(db.execute").replace(".fetchone()", ")"),
        IDENTICAL,
    ),
    "a question more before a file is opened": (ROW, f"{ROW}            {ROW}", IDENTICAL),
    "a question less before a file is opened": (ROW, 'row = {"id": 2}\n', IDENTICAL),
    "a statement in several lines": (
        '"select id, qty as amount from items where id = ?"',
        r'"\n  select id, qty as amount\n  from items\n  where id = ?\n"',
        IDENTICAL,
    ),
    "a statement with another literal": (
        '"select id, qty as amount from items where id = ?"',
        '"""select id, qty as amount from items where id = ? and \'a  b\' <> \'a b\'"""',
        UNDETERMINED,
    ),
    "a file closed in another way": (
        APPENDED,
        """            file = open(__file__ + ".csv", "a")
            file.write(f"{time.time()}\\n")
            file.close()
""",
        IDENTICAL,
    ),
    "a commit by a block": (
        SET,
        "            with db:\n    " + SET.partition("            db.commit")[0],
        IDENTICAL,
    ),
    "a block that rolls back": (
        SET,
        f"""            try:
                with db:
        {SET.partition("            db.commit")[0]}                    raise ValueError
            except ValueError: pass
""",
        DIVERGED,
    ),
    "another file": ('".txt")', '".text")', DIVERGED),
    "asked by another request": (NOTHING, KINDS + NOTHING, IDENTICAL),
    "asked by another request, and changed since": (
        NOTHING,
        KINDS.replace("kinds", "items") + NOTHING,
        UNDETERMINED,
    ),
    "an effect behind such a question": (
        NOTHING,
        KINDS + '        with connected() as db: db.execute("insert into kinds values (9)")\n' + NOTHING,
        DIVERGED,
    ),
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
    "asked by another request, and changed since": "from items",
    "an effect behind such a question": "insert into kinds",
    "an effect more before it serves": "drop table",
    "a question before it serves": "select 1",
    "another schema": "if not exists",
}
"""What a verdict on some of them names, beside the line."""
pytestmark = pytest.mark.engine


def test_changed_code(bench: Bench) -> None:
    """The same answers and effects are identical; other ones are not; a new question is undetermined."""
    script = bench.script(SERVER)
    visits = visiting("/read", "/update", "/blocks", "/nothing", "/read", "/rows")
    bench.record(script, visits, concurrency=2, iterations=2)
    wrong = {}
    for name, expected, verdict in changed(bench, SERVER, CHANGES):
        if verdict.judgement is not expected:
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
        told = " ".join([*(one.message for one in verdict.reasons), *map(str, verdict.divergences)])
        if name in NAMED and not ("serve.py" in told and NAMED[name] in told):
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())


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


FREED = """
    import os, time
    from flask import Flask, jsonify

    app = Flask(__name__)

    class Written:
        def __del__(self):
            with open(__file__ + ".txt", "a") as file:
                file.write(f"{time.time()}\\n")

    def failed(tries):
        written = Written()
        for _ in range(tries):
            try:
                os.stat("/there is no such file")
            except OSError:
                pass
        return written is None

    @app.get("/freed")
    def freed():
        return jsonify(failed(1), time.time())

    app.run()
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("return jsonify(failed", 'app.logger.info("1"); return jsonify(failed', IDENTICAL),
        ("failed(1)", "failed(2)", IDENTICAL),
        ("        written = Written()\n", "        written = None\n", DIVERGED),
    ],
)
def test_an_error_frees_what_it_freed(bench: Bench, before: str, after: str, expected: Judgement) -> None:
    """What a finalizer writes when a failed call is over is written then, and each time that it fails."""
    bench.record(bench.script(FREED), visiting("/freed"), concurrency=2, iterations=2)
    assert before in FREED
    bench.script(FREED.replace(before, after))
    verdict = bench.verify(strict=False).verdict
    assert verdict.judgement is expected, verdict.to_json()


def test_threads_share_what_they_shared(bench: Bench) -> None:
    """Pools and counters keep their state, whatever other locks are taken; a bug in them is one."""
    bench.record(bench.script(POOL), visiting("/pool", "/count", "/threads"), concurrency=8, iterations=1)
    found = {}
    for name, (before, after, _) in SHARING.items():
        assert before in POOL, name
        bench.script(POOL.replace(before, after))
        found[name] = bench.verify(strict=False).verdict.judgement
    assert found == {name: expected for name, (_, _, expected) in SHARING.items()}


SETTINGS = """
    import os, sqlite3
    from contextlib import closing
    from datetime import datetime
    from flask import Flask, jsonify

    app, FILE = Flask(__name__), os.environ["DB_FILE"]

    with closing(sqlite3.connect(FILE)) as db, db:
        db.execute("create table items (id integer primary key)")
        db.execute("create table orders (item integer references items(id), at text)")

    @app.get("/two")
    def two():
        with closing(sqlite3.connect(FILE)) as one:
            one.execute("insert into orders (at) values ('one')")
            one.commit()
        with closing(sqlite3.connect(FILE)) as other:
            other.execute("select count(*) from orders").fetchone()
            other.commit()
        return "two"

    @app.get("/both")
    def both():
        with closing(sqlite3.connect(FILE)) as one, closing(sqlite3.connect(":memory:")) as other:
            other.execute("create table b (c)")
            one.execute("insert into orders (at) values ('both')")
            other.execute("insert into b values (1)")
            one.commit()
            other.commit()
        return "both"

    @app.get("/keys")
    def keys():
        with closing(sqlite3.connect(FILE)) as db:
            db.execute("PRAGMA foreign_keys = ON")
            try:
                db.execute("insert into orders values (7, '')")
            except sqlite3.IntegrityError:
                return "no such item"
        return "ordered"

    @app.get("/begun")
    def begun():
        with closing(sqlite3.connect(FILE, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("insert into orders (at) values (?)", (datetime.now().isoformat(),))
            db.execute("COMMIT")
        return "begun"

    @app.get("/itself")
    def itself():
        with closing(sqlite3.connect(FILE)) as db:
            db.execute("BEGIN")
            db.execute("insert into orders (at) values ('itself')")
            db.commit()
        return "itself"

    @app.get("/file")
    def file():
        before = os.umask(0o077)
        with open(__file__ + ".txt", "w+") as file:
            file.write("0123456789")
            file.seek(3)
            file.write("abc")
        os.umask(before)
        with closing(sqlite3.connect(FILE)) as db:
            with db:
                count = db.execute("select 1").fetchone()
            with open(__file__ + ".count", "w") as file:
                file.write(str(count))
        return "file"

    app.run()
"""
ONE, OTHER, COUNTED = (
    "            one.commit()\n        with",
    "            one.commit()\n            other",
    """            with open(__file__ + ".count", "w") as file:
                file.write(str(count))
""",
)
BEHIND_ANSWERS = {
    "no commit, and one of another connection": (ONE, "        with", DIVERGED),
    "a commit of another connection": (OTHER, OTHER.replace("one", "other"), DIVERGED),
    "no foreign keys": ('            db.execute("PRAGMA foreign_keys = ON")\n', "", UNDETERMINED),
    "no transaction": ('            db.execute("BEGIN IMMEDIATE")\n', "", UNDETERMINED),
    "a transaction that the driver begins": ('            db.execute("BEGIN")\n', "", IDENTICAL),
    "another mode of files": ("0o077", "0o022", DIVERGED),
    "another place in a file": ("            file.seek(3)\n", "", UNDETERMINED),
    "a file written in a transaction": (
        COUNTED,
        COUNTED.replace("            ", 16 * " ", 1).replace(
            "                file.write", 20 * " " + "file.write"
        ),
        IDENTICAL,
    ),
    "a clock read before": ("    def begun():\n", "    def begun():\n        datetime.now()\n", IDENTICAL),
}


def test_what_no_answer_shows(bench: Bench) -> None:
    """Whether something was committed, and what decides what later calls do, is compared, too."""
    visits = visiting("/two", "/both", "/keys", "/begun", "/itself", "/file")
    bench.record(bench.script(SETTINGS), visits, concurrency=1, iterations=1)
    found = {}
    for name, expected, verdict in changed(bench, SETTINGS, BEHIND_ANSWERS):
        if verdict.judgement is not expected:
            found[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
    assert not found, "\n".join(f"{name}: {one}" for name, one in found.items())
