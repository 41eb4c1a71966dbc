"""Every replay compares the application's calls to the outside, and shows those that differ."""

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
        db.execute("create table items (id integer primary key, qty integer)")
        db.executemany("insert into items (qty) values (?)", [(1,), (2,), (3,)])
        db.commit()

    @app.get("/count")
    def count():
        with connected() as db:
            return jsonify(db.execute("select count(*) from items where qty > ?", (1,)).fetchone())

    @app.get("/update")
    def update():
        with connected() as db:
            db.execute("update items set qty = ? where id = ?", (7, 1))
            db.commit()
            return jsonify(time.time())

    @app.get("/two")
    def two():
        with connected() as db:
            a = db.execute("select 1")
            b = db.execute("select 2")
            return jsonify(a.fetchone(), b.fetchone())

    @app.get("/callback")
    def callback():
        with connected() as db:
            db.create_function("twice", 1, lambda n: n * 2)
            return jsonify(db.execute("select twice(21)").fetchone())

    app.run()
"""

COMMIT = "            db.commit()\n            return"
SHARED = "return jsonify(time.time())"
CHANGES = {
    "another statement": (
        "/count",
        ("select count(*) from", "select count(*)*2 from"),
        ("select count(*) from items", "select count(*)*2 from items"),
    ),
    "another value": ("/update", ("(7, 1)", "(0, 1)"), ("(7, 1)", "(0, 1)")),
    "another expression": ("/update", ("set qty = ?", "set qty = 0*?"), ("set qty = ?", "set qty = 0*?")),
    "another function": ("/update", (SHARED, "return jsonify(time.monotonic())"), ("time.monotonic",)),
    "another object": ("/two", ("a.fetchone(), b.fetchone()", "b.fetchone(), a.fetchone()"), ("fetchone(#",)),
    "one call more": ("/update", (COMMIT, COMMIT.replace("commit()", "commit(); time.time()")), ()),
    "one call less": ("/update", (COMMIT, "            return"), ("commit",)),
    "a callback's result": ("/callback", ("n * 2", "n * 3"), ("42", "63")),
}


@pytest.mark.engine
@pytest.mark.parametrize("schedule", ["turns", "parallel"])
@pytest.mark.parametrize("name", CHANGES)
def test_another_question_is_a_divergence(bench: Bench, name: str, schedule: str) -> None:
    """No result is handed to another question, and both questions are shown with the line that asks."""
    if schedule == "parallel" and name != "another statement":
        pytest.skip("the same code for both")
    path, (before, after), shown = CHANGES[name]
    script = bench.script(SERVER)
    bench.record(script, visiting(path, "/count"), concurrency=2, iterations=2, schedule=schedule)
    assert before in SERVER
    bench.script(SERVER.replace(before, after))
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.DIVERGED, verdict.to_json()
    evidence = " ".join(one.evidence for one in verdict.divergences if one.target == path)
    assert all(text in evidence for text in shown), evidence
    assert "serve.py:" in evidence
    if path != "/count":
        assert {one.target for one in verdict.divergences} == {path}
