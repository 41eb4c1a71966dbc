"""Changed code, for real: a refactoring is identical, a bug is not, and what cannot be told is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Judgement
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

    app.run()
"""
COUNT = '            count = db.execute("select count(*) from items").fetchone()\n'
FIRST = '            first = db.execute("select qty from items where id = ?", (1,)).fetchone()\n'
UPDATE = '            db.execute("update items'
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
    "another read": ("select count(*) from", "select count(*) * 2 from", UNDETERMINED),
}


@pytest.mark.engine
def test_changed_code(bench: Bench) -> None:
    """The same answers and effects are identical; other ones are not; a new question is undetermined."""
    script = bench.script(SERVER)
    bench.record(script, visiting("/read", "/update", "/read"), concurrency=2, iterations=2)
    wrong = {}
    for name, (before, after, expected) in CHANGES.items():
        assert before in SERVER, name
        bench.script(SERVER.replace(before, after))
        verdict = bench.verify(strict=False).verdict
        if verdict.judgement is not expected:
            wrong[name] = (verdict.judgement, verdict.reasons, verdict.divergences)
        if name == "another read":
            assert "serve.py" in verdict.reasons[0].message
            assert "count(*) * 2" in verdict.reasons[0].message
    assert not wrong
