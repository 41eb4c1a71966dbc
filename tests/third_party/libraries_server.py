"""A server that uses what services are made of: caches, stores, documents, identifiers, logs, metrics."""

from __future__ import annotations

import hashlib
import io
import random
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import argon2
import arrow
import babel.dates
import bson
import cachetools
import diskcache
import docx
import faker
import fakeredis
import filelock
import humanize
import jwt
import loguru
import mongomock
import msgpack
import nanoid
import networkx as nx
import openpyxl
import orjson
import pendulum
import polars as pl
import portalocker
import prometheus_client
import pyarrow as pa
import pydantic
import qrcode
import reportlab.pdfgen.canvas
import sentry_sdk
import shortuuid
import structlog
import tenacity
import tinydb
import ulid
import whoosh.fields
import whoosh.index
import xlsxwriter
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask, Response, jsonify, request
from flask_caching import Cache
from flask_limiter import Limiter
from passlib.hash import pbkdf2_sha256
from PIL import Image, ImageDraw
from pony import orm
from pyarrow import parquet

app = Flask(__name__)
FOLDER = Path(tempfile.mkdtemp())
lock = threading.Lock()
pool = ThreadPoolExecutor(4)


def digest(content: bytes) -> str:
    """Return what stands for a document."""
    return hashlib.sha256(content).hexdigest()


# ---- logs and metrics ------------------------------------------------------------------------------------

loguru.logger.remove()
loguru.logger.add(FOLDER / "loguru.log", rotation="20 KB")
structlog.configure(
    logger_factory=structlog.WriteLoggerFactory((FOLDER / "structlog.log").open("a")),
    processors=[structlog.processors.TimeStamper(), structlog.processors.JSONRenderer()],
)
asked = prometheus_client.Counter("asked", "requests")
took = prometheus_client.Histogram("took", "seconds")


@app.get("/logs")
def logs() -> str:
    loguru.logger.info("asked at {}", time.time())
    structlog.get_logger().info("asked", number=random.random())
    return str((FOLDER / "structlog.log").exists())


@app.get("/metrics")
def metrics() -> str:
    asked.inc()
    with took.time():
        time.sleep(0.001)
    return prometheus_client.generate_latest().decode()


@app.get("/failure")
def failure() -> str:
    try:
        return str(1 / 0)
    except ZeroDivisionError as error:
        return str(sentry_sdk.capture_exception(error))


# ---- what runs besides -----------------------------------------------------------------------------------

ticks: list[float] = []
scheduler = BackgroundScheduler()
scheduler.add_job(lambda: ticks.append(time.time()), "interval", seconds=0.2)
scheduler.start()


@app.get("/ticks")
def last_ticks() -> Response:
    return jsonify(ticks[-3:])


@app.get("/futures")
def futures() -> Response:
    naps = [pool.submit(time.sleep, random.random() / 500) for _ in range(4)]
    times = pool.map(lambda n: (n, time.time()), range(4))
    return jsonify(list(times), [one.result() for one in as_completed(naps)])


@app.get("/again")
def again() -> str:
    @tenacity.retry(stop=tenacity.stop_after_attempt(9), wait=tenacity.wait_random(0, 0.002))
    def fails() -> str:
        if random.random() < 0.5:
            raise ValueError
        return "done"

    return fails()


# ---- caches and limits -----------------------------------------------------------------------------------

cache = Cache(app, config={"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 1})
file_cache = Cache(config={"CACHE_TYPE": "FileSystemCache", "CACHE_DIR": str(FOLDER / "cache")})
file_cache.init_app(app)
limiter = Limiter(lambda: request.remote_addr or "", app=app, storage_uri="memory://")
disk = diskcache.Cache(FOLDER / "disk")
recent: Any = cachetools.TTLCache(10, 0.05)
redis = fakeredis.FakeStrictRedis()


@app.get("/cached")
@cache.cached(timeout=1)
def cached() -> str:
    return str(time.time())


@app.get("/caches")
def caches() -> Response:
    found = file_cache.get("time")
    if found is None:
        found = time.time()
        file_cache.set("time", found, timeout=1)
    disk.incr("asked", default=0)
    with lock:
        recent.setdefault("time", time.time())
        kept = recent.get("time")
    redis.incr("asked")
    redis.setex("time", 1, time.time())
    return jsonify(found, disk["asked"], kept, int(redis.get("asked")), str(redis.get("time")))


@app.get("/limited")
@limiter.limit("30/second")
def limited() -> str:
    return "welcome"


# ---- stores ----------------------------------------------------------------------------------------------

documents = tinydb.TinyDB(FOLDER / "documents.json")
collection = mongomock.MongoClient().shop.items
words = whoosh.index.create_in(FOLDER, whoosh.fields.Schema(text=whoosh.fields.TEXT(stored=True)))
database = orm.Database()


class Item(database.Entity):
    """A row."""

    number = orm.Required(int)


database.bind(provider="sqlite", filename=str(FOLDER / "items.db"), create_db=True)
database.generate_mapping(create_tables=True)


@app.get("/stores")
def stores() -> Response:
    with lock:
        documents.insert({"time": time.time()})
        count = len(documents)
        writer = words.writer()
        writer.add_document(text=f"word {random.random()}")
        writer.commit()
        with words.searcher() as searcher:
            found = searcher.doc_count()
    with orm.db_session:
        Item(number=random.randrange(100))
        orm.commit()
        numbers = [one.number for one in Item.select().order_by(orm.desc(Item.id))[:3]]
    return jsonify(count, found, numbers, str(collection.insert_one({"at": time.time()}).inserted_id))


@app.get("/locks")
def locks() -> str:
    with filelock.FileLock(FOLDER / "one.lock"), portalocker.Lock(FOLDER / "other.lock", timeout=5):
        return str(time.time())


# ---- documents -------------------------------------------------------------------------------------------


@app.get("/documents")
def make_documents() -> Response:
    made = [io.BytesIO() for _ in range(6)]
    picture = Image.new("RGB", (50, 50), random.choice(["red", "blue"]))
    ImageDraw.Draw(picture).text((1, 1), str(time.time()))
    picture.save(made[0], "PNG")
    qrcode.make(str(random.random())).save(made[1])
    page = reportlab.pdfgen.canvas.Canvas(made[2])
    page.drawString(10, 10, str(time.time()))
    page.save()
    book = openpyxl.Workbook()
    book.active["A1"] = datetime.now()  # noqa: DTZ005
    book.save(made[3])
    with xlsxwriter.Workbook(made[4]) as other:
        other.add_worksheet().write(0, 0, time.time())
    letter = docx.Document()
    letter.add_paragraph(str(random.random()))
    letter.save(made[5])
    return jsonify([digest(one.getvalue()) for one in made])


@app.get("/tables")
def tables() -> Response:
    table = pl.DataFrame({"a": [3, 1, 2], "at": [time.time()] * 3}).sort("a")
    path = FOLDER / f"{uuid.uuid4()}.parquet"
    parquet.write_table(pa.table({"a": [1, 2], "at": [time.time()] * 2}), path)
    graph = nx.gnp_random_graph(5, 0.5)
    return jsonify(str(table), parquet.read_table(path).to_pydict(), sorted(graph.edges))


# ---- identifiers, secrets, clocks ------------------------------------------------------------------------


class Model(pydantic.BaseModel):
    """What is answered."""

    id: uuid.UUID = pydantic.Field(default_factory=uuid.uuid4)
    at: datetime = pydantic.Field(default_factory=datetime.now)


@app.get("/identifiers")
def identifiers() -> Response:
    fake = faker.Faker()
    made = bson.ObjectId(), uuid.uuid1(), ulid.ULID(), nanoid.generate(), shortuuid.uuid()
    return jsonify([str(one) for one in made], fake.name(), fake.uuid4(), Model().model_dump_json())


@app.get("/secrets")
def make_secrets() -> Response:
    key = "k" * 32
    token = jwt.encode({"exp": datetime.now(UTC), "jti": str(uuid.uuid4())}, key)
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64).hash("word")
    return jsonify(token, hashed, pbkdf2_sha256.using(rounds=10).hash("word"))


@app.get("/clocks")
def clocks() -> Response:
    packed = msgpack.packb({"at": datetime.now(UTC)}, datetime=True)
    told = orjson.dumps({"at": datetime.now(UTC), "id": uuid.uuid4()})
    shown = arrow.utcnow().isoformat(), pendulum.now().isoformat(), babel.dates.format_datetime(locale="de")
    return jsonify(packed.hex(), told.decode(), shown, humanize.naturaltime(arrow.now().naive))


if __name__ == "__main__":
    app.run()
