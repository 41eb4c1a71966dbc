"""The tape's contract: what a recording holds may change only together with its version.

A newer loadgen replays recordings of an older one if ``protocol.TAPE`` is the same. So what it writes to the
tape for a fixed server is kept in ``tape_contract/``, and a change of that must raise the version. After
raising it, remove the folder's files, and run this test with each Python: it writes them again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadgen import protocol
from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

KEPT = Path(__file__).parent / "tape_contract"
SERVER = """
    import os, queue, random, sqlite3, sys, tempfile, threading, time, uuid
    from werkzeug.serving import run_simple

    LOCK = threading.Lock()


    def database(environ):
        with sqlite3.connect(os.environ["DB_FILE"]) as db:
            db.row_factory = sqlite3.Row
            db.create_function("twice", 1, lambda value: value * 2)
            db.execute("create table if not exists words (word text)")
            db.execute("insert into words values (?)", (environ["PATH_INFO"],))
            yield str([tuple(row) for row in db.execute("select twice(word) from words")]).encode()
        db.close()


    def clocks(environ):
        yield f"{time.time()} {time.monotonic()} {random.random()} {uuid.uuid4()}".encode()
        yield os.urandom(8).hex().encode()


    def files(environ):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.txt")
            with open(path, "w") as file:
                file.write("x" * 200)
            buffer = bytearray(10)
            with open(path, "rb") as file:
                file.readinto(buffer)
            yield bytes(buffer) + str(sorted(os.listdir(folder))).encode()


    def threads(environ):
        found = queue.Queue()

        def work():
            with LOCK:
                found.put(time.time())

        thread = threading.Thread(target=work)
        thread.start()
        yield str(found.get()).encode()
        thread.join()


    def body(environ):
        yield environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return globals()[environ["PATH_INFO"].strip("/")](environ)


    run_simple("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0, application)
"""
READ = """
import json, sys
from types import SimpleNamespace
from retracesoftware import stream
from retracesoftware.tape import open_tape_reader

def plain(value):
    if isinstance(value, tuple | list):
        return [type(value).__name__, *map(plain, value)]
    if isinstance(value, str | int | None | bool):
        return value
    if isinstance(value, bytes) and value.startswith(b"loadgen."):
        return value.decode()
    if isinstance(value, bytes) and len(value) == 32:  # a digest
        return value.hex()
    return f"<{type(value).__name__}>"

given = SimpleNamespace(recording=sys.argv[1], read_timeout=100, format=None, verbose=False)
with open_tape_reader(given, thread_id=lambda: 1) as (_, reader):
    try:
        while True:
            print(json.dumps(plain(reader.read())))
    except RuntimeError:
        pass
"""


def items(recording: Path) -> list[Any]:
    """Return what is on a tape, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(recording)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


REQUESTS = {"/database": b"", "/clocks": b"", "/files": b"", "/threads": b"", "/body": b"some bytes"}
THREADS = 1 + [*REQUESTS].index("/threads")
_HANDLES = ("NEW_BINDING", "BINDING_DELETE")
_PORT = 1000
"""Larger numbers, such as ports and process ids, differ each time, except for threads of requests."""


async def _visit(user: User) -> None:
    headers = {"User-Agent": "fixed", "Accept-Encoding": "identity", "Accept": "*/*", "Host": "fixed"}
    for path, body in REQUESTS.items():
        await user.http.request("POST" if body else "GET", path, content=body or None, headers=headers)


def contract(recording: Path) -> list[str]:
    """Return the items of all requests, without what differs in each recording, one a line."""
    found = items(recording)
    first = next(at for at, item in enumerate(found) if "loadgen.enter" in str(item))
    kept: list[str] = []
    for before, item in zip(found[first - 1 :], found[first:], strict=False):
        told = item
        if before in _HANDLES:
            told = "<handle>"
        elif isinstance(item, list) and "SERVER_NAME" in str(item):
            # Whether garbage is collected then depends on how much there is.
            told = [*sorted(name for _, name, _ in item[1][1:]), "<collects>"]
        kept.append(json.dumps(_steady(told)))
    begins, ends = (
        next(at for at, item in enumerate(kept) if f'"loadgen.{step}", {THREADS}' in item)
        for step in ("enter", "finish")
    )
    # Which of two threads gets a lock first differs.
    return [*kept[: begins + 1], *sorted({*kept[begins + 1 : ends]}), *kept[ends:]]


def _steady(item: Any) -> Any:
    if isinstance(item, list):
        return [_steady(one) for one in item]
    if isinstance(item, str):
        if "|" in item:
            return "<lock>"  # who has to wait for a lock differs
        return re.sub(r"/tmp/[^ ]*", "<path>", item)
    large = isinstance(item, int) and item > _PORT
    return "<number>" if large and not 0 <= item - 1_000_000 <= len(REQUESTS) else item


def test_what_the_tape_holds(bench: Bench) -> None:
    """See the module: a change of what is recorded needs another version."""
    bench.record(
        bench.script(SERVER), Scenario("visiting", "asks for each path", _visit), concurrency=1, iterations=1
    )
    assert bench.verify().verdict.judgement is Judgement.IDENTICAL
    now = [f"version {protocol.TAPE}", *contract(bench.path / "run" / "recording.bin")]
    kept = KEPT / f"{sys.version_info[0]}.{sys.version_info[1]}.txt"
    if not kept.exists():
        kept.write_text("\n".join(now) + "\n", encoding="utf-8")
        pytest.fail(f"{kept} was missing, and is written: commit it")
    then = kept.read_text(encoding="utf-8").splitlines()
    assert now == then, (
        "Recordings hold something else than before, so a replay of an older one may leave its tape: raise "
        "protocol.TAPE, and renew tape_contract/ as this module says."
    )
