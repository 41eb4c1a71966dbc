"""Callbacks from C code work the same unrecorded, recorded, and in a replay."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SERVER = """
    import collections, datetime, decimal, functools, json, locale, math, operator, sqlite3, sys, time, uuid
    from contextlib import closing
    from flask import Flask, jsonify

    app = Flask(__name__)

    class Sum:
        def __init__(self):
            self.sum = 0
        def step(self, n):
            self.sum += n
        def finalize(self):
            return self.sum
        value = finalize
        def inverse(self, n):
            self.sum -= n

    class Box:
        def __init__(self):
            self.seen = []
        def __call__(self, n):
            return n + 1
        def times(self, n):
            return n * 3
        def compare(self, a, b):
            return (a < b) - (a > b)
        def allow(self, *what):
            return sqlite3.SQLITE_OK
        def progress(self):
            return 0
        def row(self, cursor, row):
            return list(row)

    def deny(*what):
        return sqlite3.SQLITE_DENY

    class Labelled(sqlite3.Row):
        def label(self):
            return f"{self['a']}{self['B']}"

    Pair = collections.namedtuple("Pair", "a b")
    FUNCTIONS = {
        "square root": math.sqrt, "length": len, "bound": Box().times, "instance": Box(), "class": int,
        "partial": functools.partial(pow, 2), "unbound": str, "getter": operator.neg, "lambda": lambda n: n,
    }
    ROWS = {
        "row": sqlite3.Row, "bound": Box().row, "lambda": lambda cursor, row: dict(zip("ab", row)),
        "pair": lambda cursor, row: Pair(*row), "none": None, "subclass": Labelled,
        "made": lambda cursor, row: sqlite3.Row(cursor, row),
    }
    TEXTS = {
        "bytes": bytes, "upper": lambda text: text.decode().upper(), "built in": bytes.decode, "str": str,
    }

    def functions(db):
        for at, (name, function) in enumerate(FUNCTIONS.items()):
            db.create_function(f"f{at}", 1, function)
            yield name, db.execute(f"select f{at}(?)", ("abcd" if function is len else 4,)).fetchone()[0]

    def aggregates(db):
        db.create_aggregate("total_of", 1, Sum)
        db.create_aggregate("partial_of", 1, functools.partial(Sum))
        db.create_window_function("moving", 1, Sum)
        yield "sum", db.execute("select total_of(a), partial_of(a) from t").fetchall()
        over = "over (order by a rows between 1 preceding and current row)"
        yield "window", db.execute(f"select moving(a) {over} from t").fetchall()

    def collations(db):
        for name, function in (("backwards", Box().compare), ("here", locale.strcoll)):
            db.create_collation(name, function)
            yield name, db.execute(f"select b from t order by b collate {name}").fetchall()

    def authorizers(db):
        for name, function in (("box", Box().allow), ("deny", deny), ("none", None)):
            db.set_authorizer(function)
            try:
                yield name, db.execute("select count(*) from t").fetchone()
            except sqlite3.DatabaseError as error:
                yield name, str(error)

    def watchers(db):
        box = Box()
        for function in (print, box.seen.append, sys.stderr.write, lambda text: box.seen.append(len(text))):
            db.set_trace_callback(function)
            yield str(len(box.seen)), db.execute("select 7").fetchone()
        db.set_trace_callback(None)
        db.set_progress_handler(box.progress, 1)
        yield "progress", db.execute("select sum(a) from t").fetchone()
        with closing(sqlite3.connect(":memory:")) as copy:
            db.commit()
            db.backup(copy, pages=1, progress=lambda *how: box.seen.append(how))
            yield "backup", [box.seen, copy.execute("select count(*) from t").fetchone()]

    def rows(db):
        for name, factory in ROWS.items():
            db.row_factory = factory
            found = db.execute("select a, b from t limit 2").fetchall()
            yield name, [dict(one) if isinstance(one, sqlite3.Row) else one for one in found]
            yield f"{name} labelled", [one.label() for one in found if isinstance(one, Labelled)]
            yield f"{name} hashed", len({one for one in found if isinstance(one, (sqlite3.Row, tuple))})
        db.row_factory = sqlite3.Row
        cursor = db.execute('select b as [b "c"], a as b, a, null as n from t order by a')
        first, second, *others = (next(cursor), cursor.fetchone(), *cursor.fetchmany(1), *cursor)
        yield "fields", [first.keys(), first["B"], first[-1], first[:2], tuple(first), len(others)]
        yield "same", [first == second, first == first, first in others, hash(first) == hash(second)]
        try:
            first["missing"]
        except IndexError as error:
            yield "missing", str(error)
        try:
            sqlite3.Row("no cursor", ())
        except TypeError as error:
            yield "no cursor", str(error)
        db.row_factory = None
        for name, factory in TEXTS.items():
            db.text_factory = factory
            yield f"text {name}", [str(b) for b, in db.execute("select b from t limit 2")]
        db.text_factory = str

    def given(db):
        db.executemany("insert into t values (?, ?)", ((n, "generated") for n in range(3)))
        db.executemany("insert into t values (?, ?)", map(lambda n: (n, "mapped"), range(3)))
        yield "many", db.execute("select count(*) from t").fetchone()
        db.create_function("fails", 1, lambda n: 1 / 0)
        for call in ("fails(1)", "f0(-1)"):
            try:
                yield call, db.execute(f"select {call}").fetchone()
            except sqlite3.OperationalError as error:
                yield call, str(error)

    class Adapted:
        def __init__(self, x):
            self.x = x

    class Conforms(Adapted):
        def __conform__(self, protocol):
            return f"{protocol is sqlite3.PrepareProtocol} {self.x}"

    sqlite3.register_adapter(Adapted, lambda one: one.x * 2)
    sqlite3.register_adapter(decimal.Decimal, str)
    sqlite3.register_adapter(uuid.UUID, operator.attrgetter("hex"))
    sqlite3.register_adapter(dict, json.dumps)
    sqlite3.register_converter("dec", lambda text: decimal.Decimal(text.decode()))
    VALUES = (
        Adapted(4), Conforms(5), decimal.Decimal("1.50"), uuid.UUID(int=7), {"a": 1},
        datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3), bytearray(b"x"), memoryview(b"y"), True,
        None, 1.5,
    )

    def adapted(db):
        for value in VALUES:
            yield type(value).__name__, str(db.execute("select ?, typeof(:a)", (value, value)).fetchone())
        yield "named", db.execute("select :a", {"a": Adapted(1)}).fetchone()
        for rows in ([(Adapted(n), "x") for n in (1, 2)], ((Conforms(n), "y") for n in (1, 2))):
            db.executemany("insert into t values (?, ?)", rows)
        yield "many", db.execute("select a from t order by rowid desc limit 4").fetchall()
        yield "adapt", sqlite3.adapt(decimal.Decimal("2.5"))
        try:
            db.execute("select ?", (object(),))
        except sqlite3.Error as error:
            yield "not adapted", str(error)
        with closing(sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_COLNAMES)) as db:
            found = db.execute("select '1.5' as 'a [dec]', '2026-01-02' as 'b [date]'").fetchone()
            yield "converted", str(found)
            db.row_factory = sqlite3.Row
            found = db.execute("select '1.5' as 'a [dec]', '2026-01-02' as 'b [date]'").fetchall()
            yield "converted row", [str(found[0]["a"] * 2), found[0]["b"].year]

    KINDS = (functions, aggregates, collations, authorizers, watchers, rows, given, adapted)

    def found():
        with closing(sqlite3.connect(":memory:")) as db:
            db.execute("create table t(a, b)")
            db.executemany("insert into t values (?, ?)", [(n, "abcde"[n % 5]) for n in range(10)])
            return {kind.__name__: list(kind(db)) for kind in KINDS}

    @app.get("/found")
    def answer():
        return jsonify(found(), time.time_ns())

    if __name__ == "__main__":
        print(json.dumps(found())) if sys.argv[1:] else app.run()
"""


@pytest.mark.parametrize("concurrency", [1, 8])
def test_callbacks_of_every_kind(bench: Bench, concurrency: int) -> None:
    """Functions, classes, bound methods, instances and built-ins are called back as they are unrecorded."""
    script = bench.script(SERVER)
    plain = subprocess.run([sys.executable, script, "print"], capture_output=True, text=True, check=True)
    expected = json.loads(plain.stdout.splitlines()[-1])
    answers = []

    async def ask(user: User) -> None:
        answers.append((await user.http.get("/found")).json()[0])

    recorded = bench.record(script, Scenario("asking", "asks", ask), concurrency=concurrency, iterations=4)
    assert recorded.totals.statuses == {200: concurrency * 4}
    assert all(answer == expected for answer in answers)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:2]
