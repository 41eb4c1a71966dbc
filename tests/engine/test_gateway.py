"""Any client, recorded through the gateway, replays like loadgen's own virtual users."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.core.events import ignore
from loadgen.core.exchange import Request
from loadgen.core.spec import CommandTraffic, FileTraffic, GatewaySpec, ListenTraffic, Load, RunSpec
from loadgen.core.stop import Stop
from loadgen.core.verdict import Judgement
from loadgen.dispatch import MODES
from loadgen.record import record
from tests.clients import corners

if TYPE_CHECKING:
    from loadgen.core.spec import Traffic
    from loadgen.record import Recorded
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

CLIENTS = Path(corners.__file__).parent
WAITRESS = """
    import waitress
    from server_app.app import create_app
    waitress.serve(create_app(), threads=8)
"""


def visited(
    bench: Bench,
    traffic: Traffic,
    *target: str,
    run: str = "run",
    gateway: GatewaySpec = GatewaySpec(),  # noqa: B008
) -> Recorded:
    """Record a session of *traffic*."""
    spec = RunSpec(target=target, traffic=traffic, load=Load(timeout=20), gateway=gateway)
    return anyio.run(record, spec, MODES[spec.mode](bench.host), bench.path / run, Stop(), ignore)


def client(program: str, *words: str) -> CommandTraffic:
    """Return the traffic of one of the clients beside these tests."""
    return CommandTraffic(client=f"{sys.executable} {CLIENTS / program} {{url}} {' '.join(words)}")


def requests_of(recorded: Recorded) -> list[Request]:
    """Return the requests that were recorded."""
    with recorded.run.read() as events:
        return [one for one in events if isinstance(one, Request)]


def assert_identical(bench: Bench, recorded: Recorded, run: str = "run") -> None:
    verified = bench.verify(run)
    found = verified.verdict
    assert found.judgement is Judgement.IDENTICAL, (verified.folder / "verdict.json").read_text()
    assert found.compared == recorded.totals.requests


@pytest.mark.parametrize("copies", [1, 8])
def test_a_script(bench: Bench, copies: int) -> None:
    """A client that is written with requests, by itself and eight at once."""
    recorded = visited(bench, client("shop.py", str(copies)))
    visit = recorded.totals.visit
    assert visit is not None
    assert (visit.exit_code, visit.refused, visit.left) == (0, {}, {})
    assert recorded.totals.requests == 9 * copies
    assert recorded.manifest.concurrency == visit.most_open <= copies
    assert {one.user for one in requests_of(recorded)} <= set(range(copies))
    assert (recorded.run.path / "client.log").read_text() == "done\n"
    assert_identical(bench, recorded)


@pytest.mark.parametrize("server", ["flask", "waitress", "gunicorn"])
def test_corner_cases(bench: Bench, server: str) -> None:
    """What libraries do not send: HTTP/1.0, odd methods and targets, chunks, large and half requests."""
    targets = {
        "flask": (),
        "waitress": (bench.script(WAITRESS),),
        "gunicorn": (
            "gunicorn",
            "--threads",
            "8",
            "--worker-class",
            "gthread",
            "server_app.app:create_app()",
        ),
    }
    recorded = visited(bench, client("corners.py"), *targets[server])
    visit = recorded.totals.visit
    assert visit is not None
    assert visit.exit_code == 0, (recorded.run.path / "client.log").read_text()
    assert sum(visit.refused.values()) == corners.REFUSED
    assert visit.left == {"in the middle of a request": 1}
    assert_identical(bench, recorded)


def test_a_run_is_traffic(bench: Bench) -> None:
    """A recorded run is sent again, to a server that is recorded anew: the same requests and users."""
    first = visited(bench, client("shop.py", "4"))
    again = visited(bench, FileTraffic(file=str(first.run.path), verbatim=True), run="again")
    assert again.manifest.concurrency == first.manifest.concurrency
    assert requests_of(again) == requests_of(first)
    assert_identical(bench, again, "again")
    carried = visited(bench, FileTraffic(file=str(first.run.path)), run="carried")
    assert [replace(one, target="", headers=(), body=b"") for one in requests_of(carried)] == [
        replace(one, target="", headers=(), body=b"") for one in requests_of(first)
    ]
    assert carried.totals.statuses == first.totals.statuses, "with the ids of its own answers"
    assert_identical(bench, carried, "carried")


RAW = """
    from wsgiref.simple_server import make_server

    def app(environ, start_response):
        stream, body = environ["wsgi.input"], b""
        if environ["PATH_INFO"] == "/raw":
            body = stream.read(30)
        else:
            while size := int(stream.readline().split(b";")[0], 16):
                body += stream.read(size) + stream.readline()
        start_response("200 OK", [])
        return [body]

    make_server("127.0.0.1", 8000, app).serve_forever()
"""
CHUNKS = """
    import socket, sys
    from urllib.parse import urlsplit

    for path in ("/raw", "/decoded"):
        there = urlsplit(sys.argv[1])
        with socket.create_connection((there.hostname, there.port)) as one:
            head = f"POST {path} HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
            one.sendall(head.encode() + b"3;a=b\\r\\nabc\\r\\n5\\r\\nhello\\r\\n0\\r\\nX: y\\r\\n\\r\\n")
            while one.recv(1000):
                pass
"""


def test_chunks_that_the_application_reads(bench: Bench) -> None:
    """wsgiref's server does not decode them: a replay, in which they are others, has the recorded ones."""
    chunks = CommandTraffic(client=f"{sys.executable} {bench.script(CHUNKS, 'chunks.py')} {{url}}")
    recorded = visited(bench, chunks, bench.script(RAW))
    assert recorded.totals.statuses == {200: 2}
    assert_identical(bench, recorded)


def test_curl(bench: Bench) -> None:
    """curl: several at once, a waiting upload, cookies as users, an HTTP proxy for a named host."""
    curl = shutil.which("curl")
    assert curl is not None, "this test needs curl"
    large = bench.path / "large.json"
    large.write_text(json.dumps({"name": "x" * 2_000_000, "email": "y"}))
    kind = "-H 'Content-Type: application/json'"
    command = (
        f"{curl} -s {{url}}/api/users {kind} -d @{large} -b sid=a >/dev/null; "
        f"{curl} -s {{url}}/api/stats -b sid=b & {curl} -s -I {{url}}/health -b sid=a & wait; "
        f"http_proxy={{url}} {curl} -s http://shop.test/api/users?q=1 >/dev/null; "
        f"{curl} -s -x {{url}} -o /dev/null -w '%{{http_code}}' http://other.test/; exit 7"
    )
    gateway = GatewaySpec(user_by="cookie:sid", proxy_for=("shop.test",))
    recorded = visited(bench, CommandTraffic(client=command), gateway=gateway)
    visit = recorded.totals.visit
    assert visit is not None
    assert (visit.exit_code, [why[:3] for why in visit.refused]) == (7, ["421"])
    requests = requests_of(recorded)
    assert sorted(one.user for one in requests) == [0, 0, 1, 2]
    assert (requests[-1].target, dict(requests[-1].headers)["Host"]) == ("/api/users?q=1", "shop.test")
    assert dict(requests[0].headers)["Expect"] == "100-continue"
    assert_identical(bench, recorded)


def test_a_client_that_leaves_a_stream(bench: Bench) -> None:
    """Its leaving is an outcome of that request; the server goes on, and so does the recording."""
    target = bench.script("""
        import time
        from flask import Flask, Response
        app = Flask(__name__)

        @app.get("/stream")
        def stream():
            return Response(("x" * 1000 for _ in iter(lambda: time.sleep(0.01), 1)))

        @app.get("/")
        def index():
            return "here"

        if __name__ == "__main__":
            app.run(threaded=True)
    """)
    recorded = visited(
        bench,
        CommandTraffic(client="curl -s -m 1 {url}/stream | head -c 3000; curl -s {url}/; curl -s {url}/"),
        target,
    )
    visit = recorded.totals.visit
    assert visit is not None
    assert visit.left == {"in the middle of an answer": 1}
    assert (recorded.totals.failures, recorded.totals.statuses) == (1, {200: 2})


def test_whoever_comes(bench: Bench) -> None:
    """The port is open for a time, and what comes is recorded."""
    recorded: list[Recorded] = []
    spec = RunSpec(traffic=ListenTraffic(listen="0"), load=Load(timeout=20))
    stop, told = Stop(), list[str]()

    def emit(event: object) -> None:
        told.append(str(getattr(event, "line", "")))

    async def come() -> None:
        with anyio.fail_after(60):
            while not any("listening on" in line for line in told):  # noqa: ASYNC110
                await anyio.sleep(0.05)
        url = next(line for line in told if "listening on" in line).split()[2].rstrip(",")
        await anyio.run_process([sys.executable, str(CLIENTS / "shop.py"), url, "2"])
        stop.requested = True

    async def session() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(come)
            mode = MODES[spec.mode](bench.host)
            recorded.append(await record(spec, mode, bench.path / "run", stop, emit))

    anyio.run(session)
    assert recorded[0].totals.requests == 18
    assert not recorded[0].end.interrupted
    assert_identical(bench, recorded[0])
