"""Dependencies run while recording and not in the replay, where their answers come from the recording."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from loadgen.modes.local import LocalHost
from loadgen.traced import gaps
from tests.engine import services
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.client.scenario import User
    from loadgen.core.verdict import Verdict

HEAD = """
    import os, subprocess, tempfile, threading, time
    from contextlib import closing
    from flask import Flask, jsonify
    app = Flask(__name__)
    PORT = os.environ.get("PORT")
"""
POSTGRES = f"""{HEAD}
    import datetime, decimal, psycopg, psycopg2
    WHERE = f"postgresql://postgres@127.0.0.1:{{PORT}}/postgres"

    def insert(db):
        with closing(db.cursor()) as cursor:
            cursor.execute("insert into t(body) values (%s) returning id, at, doc", (str(time.time()),))
            number, at, doc = cursor.fetchone()
            cursor.execute("select count(*) from t")
            [count] = cursor.fetchone()
            times = datetime.date(2026, 1, 2), datetime.timedelta(1), datetime.time(3)
            values = *times, decimal.Decimal("1.50")
            cursor.execute("select %s, %s, %s, %s", values)
            assert cursor.fetchone() == values
        db.commit()
        return jsonify(number, at.isoformat(), doc, count)

    @app.get("/psycopg")
    def three():
        with psycopg.connect(WHERE) as db:
            return insert(db)

    @app.get("/psycopg2")
    def two():
        with closing(psycopg2.connect(WHERE)) as db:
            return insert(db)

    @app.get("/error")
    def error():
        with psycopg.connect(WHERE) as db:
            try:
                db.execute("select 1 / 0")
            except psycopg.Error as error:
                return jsonify(str(error), error.sqlstate)

    if __name__ == "__main__":
        with psycopg.connect(WHERE) as db:
            db.execute("create table t(id serial, body text, at timestamptz default now(), "
                       "doc jsonb default '[1]')")
        app.run()
"""
REDIS = f"""{HEAD}
    import redis
    shared = redis.Redis(port=int(PORT))

    @app.get("/new")
    def new():
        db = redis.Redis(port=int(PORT))  # not closed: its finalizer does that
        number = db.incr("n")
        db.lpush("numbers", number)
        return jsonify(number, db.llen("numbers"), [int(one) for one in db.lrange("numbers", 0, 2)])

    @app.get("/pool")
    def pool():
        pipeline = shared.pipeline()
        pipeline.incr("m")
        pipeline.hset("h", "at", time.time())
        pipeline.hgetall("h")
        return jsonify([str(one) for one in pipeline.execute()])

    if __name__ == "__main__":
        app.run()
"""
HTTP = f"""{HEAD}
    import httpx, requests, urllib.request
    URL = f"http://127.0.0.1:{{PORT}}/"
    client, session = httpx.Client(), requests.Session()

    @app.get("/httpx")
    def with_httpx():
        return httpx.get(URL).text + client.post(URL, json=[1]).text

    @app.get("/requests")
    def with_requests():
        return requests.get(URL).text + session.post(URL, json=[1]).text

    @app.get("/urllib")
    def with_urllib():
        return urllib.request.urlopen(URL).read()

    @app.get("/refused")
    def refused():
        try:
            requests.get("http://127.0.0.1:9/")
        except requests.RequestException as error:
            return jsonify(type(error).__name__, time.time())

    if __name__ == "__main__":
        app.run()
"""
FILES = f"""{HEAD}
    LOG = os.environ["DB_FILE"] + ".log"

    @app.get("/file")
    def file():
        with open(LOG, "a") as log:
            log.write(f"{{time.time()}}\\n")
        with open(LOG) as log:
            return jsonify(log.read()[-100:], os.path.getsize(LOG), os.stat(LOG).st_mtime)

    @app.get("/temporary")
    def temporary():
        with tempfile.NamedTemporaryFile("w+") as file, tempfile.TemporaryDirectory() as folder:
            file.write(str(time.time()))
            file.seek(0)
            open(f"{{folder}}/x", "w").close()
            return jsonify(file.name, file.read(), folder, os.listdir(folder))

    @app.get("/subprocess")
    def process():
        return subprocess.run("date +%N; echo $$", shell=True, capture_output=True, text=True).stdout

    if __name__ == "__main__":
        app.run()
"""
SQLALCHEMY = f"""{HEAD}
    from flask_sqlalchemy import SQLAlchemy
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.environ["DB_FILE"]
    db = SQLAlchemy(app)

    class Note(db.Model):
        id = db.Column(db.Integer, primary_key=True)
        at = db.Column(db.Float)

    @app.get("/note")
    def note():
        db.session.add(new := Note(at=time.time()))
        db.session.commit()
        return jsonify(new.id, new.at, [one.id for one in db.session.query(Note).order_by(-Note.id).limit(3)])

    if __name__ == "__main__":
        with app.app_context():
            db.create_all()
        app.run()
"""


@pytest.fixture
def here() -> Iterator[Bench]:
    """A bench outside pytest's folders: the engine takes what is in those for no part of the application."""
    with TemporaryDirectory(prefix="loadgen-dependencies-") as folder:
        yield Bench(Path(folder))


def replayed(
    here: Bench,
    server: str,
    plan: Scenario,
    service: services.Service | None = None,
    *,
    times: int = 2,
    without: str = "",
    schedule: str = "turns",
) -> list[Verdict]:
    """Record *server* so many *times*, stop the *service*, and verify all of it."""
    here.host = LocalHost({"PORT": str(service.port)} if service else {})
    here.without = [without] * bool(without)
    script = here.script(server)
    for number in range(times):
        recorded = here.record(script, plan, iterations=2, run=str(number), schedule=schedule)
        assert set(recorded.totals.statuses) == {200}, recorded.run.log.read_text()
        if service and number < times - 1 and server is POSTGRES:
            _empty(service)
    if service:
        service.stop()
    return [here.verify(str(number)).verdict for number in range(times)]


def _empty(service: services.Service) -> None:
    import psycopg

    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{service.port}/postgres") as db:
        db.execute("drop table t")


def assert_identical(verdicts: list[Verdict]) -> None:
    """Hold that each verdict is, of more than one answer."""
    for verdict in verdicts:
        assert verdict.judgement is Judgement.IDENTICAL, verdict.to_json()
        assert verdict.compared > 8


MIXED = """
    import asyncio, os, random, sqlite3, subprocess, sys, tempfile, time, uuid, zipfile, zoneinfo
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import closing
    from datetime import datetime
    from flask import Flask, Response, jsonify, render_template, session

    app = Flask(__name__)
    app.secret_key = os.urandom(16)
    pool = ThreadPoolExecutor(4)
    here = os.path.dirname(os.path.abspath(__file__))

    @app.before_request
    def log():
        with open(os.path.join(here, "app.log"), "a") as file:
            print(uuid.uuid4(), file=file)

    @app.get("/page")
    def page():
        with closing(sqlite3.connect(os.environ["DB_FILE"], timeout=30)) as db, db:
            db.execute("insert into t values (?)", (random.random(),))
            rows = db.execute("select rowid, n from t order by rowid desc limit 3").fetchall()
        session["pages"] = session.get("pages", 0) + 1
        return render_template("page.html", rows=rows, now=datetime.now(zoneinfo.ZoneInfo("UTC")))

    @app.get("/subprocess")
    def run():
        command = [sys.executable, "-c", "import os, sys; print(os.getpid(), sys.stdin.read())"]
        return subprocess.run(command, input=str(time.time()), capture_output=True, text=True).stdout

    @app.get("/archive")
    def archive():
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "one.zip")
            with zipfile.ZipFile(name, "w") as file:
                file.writestr("a.txt", str(time.time()))
            with open(name, "rb") as file:
                return Response(file.read(), mimetype="application/zip")

    @app.get("/pool")
    def pooled():
        work = [pool.submit(lambda: (time.time(), random.random())) for _ in range(4)]
        return jsonify([one.result() for one in work])

    @app.get("/asyncio")
    def loop():
        async def one(number):
            await asyncio.sleep(random.random() / 200)
            return number, time.time()

        async def all_of_them():
            return await asyncio.gather(*map(one, range(3)))

        return jsonify(asyncio.run(all_of_them()))

    @app.get("/stream")
    def stream():
        return Response(f"{time.time()}\\n" for _ in range(4))

    with closing(sqlite3.connect(os.environ["DB_FILE"])) as db:
        db.execute("create table t(n)")
    if __name__ == "__main__":
        app.run()
"""


@pytest.mark.engine
def test_all_of_it_at_once(here: Bench) -> None:
    """What replays alone replays beside the rest, too: live files and recorded pipes, pools and loops."""
    folder = here.path / "templates"
    folder.mkdir()
    (folder / "page.html").write_text("{{ now }}{% for row in rows %}<p>{{ row }}</p>{% endfor %}")
    plan = visiting("/page", "/subprocess", "/archive", "/pool", "/asyncio", "/stream")
    assert_identical(replayed(here, MIXED, plan))


@pytest.mark.once
@pytest.mark.engine
def test_postgres(here: Bench) -> None:
    """psycopg and psycopg2: rows, types of their own, errors; PostgreSQL is stopped before verify."""
    with services.postgres() as service:
        assert_identical(replayed(here, POSTGRES, visiting("/psycopg", "/psycopg2", "/error"), service))


@pytest.mark.engine
def test_redis(here: Bench) -> None:
    """redis-py, its sockets and its pool; Redis is stopped before verify."""
    with services.redis() as service:
        assert_identical(replayed(here, REDIS, visiting("/new", "/pool"), service))


@pytest.mark.engine
def test_http(here: Bench) -> None:
    """httpx, requests and urllib, pooled or not, refused; the other server is stopped before verify."""
    with services.http() as service:
        plan = visiting("/httpx", "/requests", "/urllib", "/refused")
        assert_identical(replayed(here, HTTP, plan, service))


@pytest.mark.engine
def test_files_and_processes(here: Bench) -> None:
    """A file that all requests append to, temporary files and folders, subprocesses."""
    assert_identical(replayed(here, FILES, visiting("/file", "/temporary", "/subprocess")))


@pytest.mark.once
@pytest.mark.engine
def test_flask_sqlalchemy(here: Bench) -> None:
    """An ORM with its pool of connections, on a database that is gone at verify."""
    assert_identical(replayed(here, SQLALCHEMY, visiting("/note", "/note")))


@pytest.mark.once
@pytest.mark.engine
@pytest.mark.parametrize("without", ["", gaps.files.record_removal_of_temporary_files.__name__])
def test_a_replay_removes_no_file(here: Bench, without: str) -> None:
    """A file of today, under the name of a temporary file of then, stays; with the gap open it is gone."""
    here.without = [without] * bool(without)
    answers: list[str] = []

    async def run(user: User) -> None:
        answers.append((await user.http.get("/temporary")).json()[0])

    here.record(here.script(FILES), Scenario("once", "gets one path", run), concurrency=1, iterations=1)
    today = Path(answers[0])
    today.touch()
    here.verify()
    assert today.exists() is not bool(without)
    today.unlink(missing_ok=True)
