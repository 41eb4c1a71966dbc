"""An application behind each server that users start, as they start it: recorded, replayed, the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadgen import protocol
from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from loadgen.errors import ServerFault
from tests.engine.conftest import Bench, visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadgen.client.scenario import User

pytestmark = pytest.mark.engine

APPLICATION = """
    import hashlib, itertools, os, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from flask import Blueprint, Flask, Response, abort, g, jsonify, request, session, stream_with_context

    numbers = itertools.count()

    def create_app(name="shop"):
        app = Flask(__name__)
        app.secret_key = os.urandom(16)
        admin = Blueprint("admin", __name__, url_prefix="/admin")

        @app.before_request
        def begin():
            g.began = time.time_ns()

        @app.after_request
        def stamp(response):
            response.headers["X-Began"] = str(g.began)
            return response

        @app.get("/health")
        def health():
            return "ok"

        @app.get("/who")
        def who():
            shown = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "SERVER_SOFTWARE", "wsgi.url_scheme")
            return jsonify(name, next(numbers), {key: request.environ.get(key) for key in shown})

        @app.post("/basket")
        def basket():
            session["basket"] = [*session.get("basket", []), request.get_json()["item"], time.time()]
            response = jsonify(session["basket"])
            response.set_cookie("last", str(time.time()))
            return response

        @app.get("/threads")
        def threads():
            started = threading.Thread(target=len, args=("",))
            started.start()
            started.join()
            with ThreadPoolExecutor(1) as pool:
                worker = pool.submit(lambda: threading.current_thread().name).result()
            return jsonify(started.name, worker)

        @app.post("/echo")
        def echo():
            body = request.get_data()
            return Response(body[::-1], headers={"X-Digest": hashlib.sha256(body).hexdigest()})

        @app.get("/large/<int:size>")
        def large(size):
            return Response(os.urandom(1) * size, mimetype="application/octet-stream")

        @app.get("/stream")
        def stream():
            def lines():
                for number in range(5):
                    yield f"{number} {time.time()} {g.began}\\n"
            return Response(stream_with_context(lines()), mimetype="text/plain")

        @app.get("/fails")
        def fails():
            raise LookupError(time.time())

        @admin.route("/<name>", methods=["PUT", "DELETE"])
        def item(name):
            if request.method == "DELETE":
                abort(403, description=f"{name} at {time.time()}")
            return {"name": name, "at": time.time()}, 201

        @admin.errorhandler(403)
        def forbidden(error):
            return jsonify(str(error)), 403

        app.register_blueprint(admin)
        return app

    app = create_app()
"""
SERVE = {
    "serve_flask.py": "from shop import create_app\ncreate_app().run(port=8080, debug=True)\n",
    "serve_waitress.py": (
        "import waitress\nfrom shop import app\nserver = waitress.create_server(app, port=8080, threads=3)\n"
        "server.run()\n"
    ),
    "serve_made.py": (
        "from werkzeug.serving import make_server\nfrom shop import app\n"
        "make_server('0.0.0.0', 8080, app, threaded=True).serve_forever()\n"
    ),
    "serve_in_thread.py": (
        "from threading import Thread\nfrom werkzeug.serving import make_server\nfrom shop import app\n"
        "server = make_server('0.0.0.0', 8080, app, threaded=True)\n"
        "thread = Thread(target=server.serve_forever)\nthread.start()\nthread.join()\n"
    ),
    "serve_and_end.py": (
        "from threading import Thread\nfrom shop import app\nThread(target=app.run, args=('', 80)).start()\n"
    ),
    "serve_wsgiref.py": (
        "from wsgiref.simple_server import make_server\nfrom shop import app\n"
        "with make_server('', 8080, app) as server:\n    server.serve_forever()\n"
    ),
    "serve_wsgiref_threads.py": (
        "import threading, time\nfrom socketserver import ThreadingMixIn\n"
        "from wsgiref.simple_server import WSGIServer, make_server\nfrom shop import app\n"
        "class Server(ThreadingMixIn, WSGIServer):\n    daemon_threads = True\n"
        "server = make_server('', 8080, app, server_class=Server)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "while True:\n    time.sleep(1)\n"
    ),
}
COMMANDS = (
    "python serve_flask.py",
    "python serve_and_end.py",
    "flask --app shop:create_app run --without-threads",
    "python serve_waitress.py",
    "python serve_made.py",
    "python serve_in_thread.py",
    "waitress-serve --port 8080 shop:app",
    "gunicorn --worker-class gthread --threads 4 shop:app",
    "gunicorn --keep-alive 5 --max-requests 7 shop:create_app()",
)
MEGABYTE = 1 << 20


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 7):
        yield body[at : at + 7]


async def _shop(user: User) -> None:
    """Use what applications use, on connections that are kept open."""
    http, rng = user.http, user.rng
    await http.get("/who")
    for _ in range(2):
        await http.post("/basket", json={"item": rng.randrange(100)})
    await http.post("/echo", content=rng.randbytes(rng.choice((1, MEGABYTE + 1))))
    await http.post("/echo", content=_pieces(rng.randbytes(50)))
    await http.post("/echo", headers={"Content-Length": "0"})
    await http.get(f"/large/{MEGABYTE * 2 + user.id}")
    await http.get("/stream")
    await http.get("/threads")
    await http.get("/fails")
    await http.put(f"/admin/{user.id}")
    await http.delete("/admin/x", headers={"Connection": "close"})
    await http.request("HEAD", "/who")
    await http.options("/echo")


SHOP = Scenario("shop", "uses what applications use", _shop)


@pytest.fixture
def shop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench in whose directory the application is."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION, "shop.py")
    for name, source in SERVE.items():
        bench.script(source, name)
    return bench


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, pytest.param("uvicorn --interface wsgi shop:app", marks=pytest.mark.once)],
)
def test_servers(shop: Bench, command: str) -> None:
    """Whatever serves it, the application is recorded and replayed, with more requests open than threads.

    Behind an answer in one piece, a replay uses the connection again.
    """
    recorded = shop.record(command.split(), SHOP, concurrency=8, iterations=2)
    assert not recorded.end.failed, recorded.end.errors
    assert recorded.totals.failures == 0
    assert recorded.totals.statuses.keys() == {200, 201, 403, 500}
    verified = shop.verify()
    verdict = verified.verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
    assert verdict.compared == 8 * 2 * 14
    replayed = (verified.folder / "transcript.jsonl").read_text(encoding="utf-8")
    assert (
        replayed.count(protocol.OVER_HEADER) >= 8 * 2 * 12
    )  # not for a stream, or an error of the server's own


def test_gunicorn_is_stopped_in_the_middle_of_a_request(shop: Bench) -> None:
    """It takes the interruption for an error of its own, and ends nevertheless."""
    shop.script(
        """
        import time

        def post_request(worker, request, environ, response):
            if request.path.startswith("/__loadgen__/"):
                time.sleep(1)
        """,
        "conf.py",
    )
    shop.record(["gunicorn", "-c", "conf.py", "shop:app"], visiting("/who"), concurrency=1, iterations=1)
    assert "Error handling request" in (shop.path / "run" / "server.log").read_text()
    assert shop.verify().verdict.judgement is Judgement.IDENTICAL


@pytest.mark.once
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("gunicorn --workers 3 shop:app", "3 workers"),
        ("gunicorn --worker-class asgi shop:app", "gunicorn's worker is asgi"),
        ("gunicorn --bind unix:gunicorn.sock shop:app", "a Unix socket"),
        ("waitress-serve --unix-socket=waitress.sock shop:app", "a Unix socket"),
        ("python -m serve_tls", "TLS"),
        ("python -m serve_many", "2 processes"),
    ],
)
def test_refused(shop: Bench, command: str, says: str) -> None:
    """What cannot be recorded as it is started is refused at once, with what to change."""
    shop.script("from shop import app\napp.run(ssl_context=('a', 'b'))", "serve_tls.py")
    shop.script("from shop import app\napp.run(threaded=False, processes=2)", "serve_many.py")
    with pytest.raises(ServerFault, match="this server cannot be recorded: ") as caught:
        shop.record(command.split(), visiting("/who"), concurrency=1, iterations=1)
    assert says in caught.value.message
    assert "; " in caught.value.message


@pytest.mark.once
def test_what_a_server_started_ends_with_it(shop: Bench) -> None:
    """Processes that a server leaves behind are ended, whatever group of processes they made."""
    source = """
        import subprocess
        from shop import app
        children = [subprocess.Popen(["sleep", "600"], process_group=group) for group in (None, 0)]
        print("children", *(child.pid for child in children), flush=True)
        app.run()
    """
    shop.record(shop.script(source), visiting("/who"), concurrency=1, iterations=1)
    words = (shop.path / "run" / "server.log").read_text().splitlines()[0].split()
    assert words[0] == "children"
    deadline = time.monotonic() + 60  # they are killed, and gone when the system has buried them
    while left := [pid for pid in words[1:] if Path("/proc", pid).exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.once
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ValueError('never served')", "it crashed before it served a request: exit code 1"),
        ("print('nothing to do')", "it exited without serving a request: exit code 0"),
    ],
)
def test_not_started(shop: Bench, source: str, says: str) -> None:
    """A server that does not serve is told by what it did, not by what it might have been."""
    with pytest.raises(ServerFault) as caught:
        shop.record(shop.script(source), visiting("/who"), concurrency=1, iterations=1)
    assert says in caught.value.message
    assert source.split("'")[1] in caught.value.message


@pytest.mark.once
def test_a_server_that_loadgen_does_not_know(shop: Bench) -> None:
    """A server on a port of its own is named as such, with its port, and with what records it."""
    source = """
        from http.server import BaseHTTPRequestHandler, HTTPServer
        server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        print("port", server.server_port)
        server.serve_forever()
    """
    with pytest.raises(ServerFault) as caught:
        shop.record(shop.script(source), visiting("/who"), concurrency=1, iterations=1)
    log = (shop.path / "run" / "server.log").read_text()
    assert f"it listens on {log.split()[0]} {log.split()[1]}" in caught.value.message
    assert "gunicorn" in caught.value.advice
    assert "--trace process" in caught.value.advice


@pytest.mark.once
@pytest.mark.parametrize("script", ["serve_wsgiref.py", "serve_wsgiref_threads.py"])
def test_wsgiref(shop: Bench, script: str) -> None:
    """The standard library's server is recorded, with a class of the application's own, too."""
    recorded = shop.record(str(shop.path / script), visiting("/who", "/stream", "/fails"), iterations=2)
    assert recorded.totals.failures == 0
    assert shop.verify().verdict.judgement is Judgement.IDENTICAL


def test_flask_finds_its_application(shop: Bench) -> None:
    """``flask run`` takes ``app.py`` where there is no ``wsgi.py``, and reports one that fails."""
    shop.script("from shop import app", "app.py")
    shop.record(["flask", "run"], visiting("/who"), concurrency=2, iterations=2)
    assert shop.verify().verdict.judgement is Judgement.IDENTICAL
    shop.script("import nothing_of_that_name", "wsgi.py")
    with pytest.raises(ServerFault, match="nothing_of_that_name"):
        shop.record(["flask", "run"], visiting("/who"), concurrency=1, iterations=1, run="second")


@pytest.mark.once
def test_a_breakpoint_that_was_left_in(shop: Bench) -> None:
    """Nobody is at the terminal: it is passed over; a debugger that is asked for by name ends its request."""
    source = """
        import pdb
        from shop import app
        @app.get("/traced")
        def traced():
            pdb.set_trace()
            return "not answered"
        @app.get("/asks")
        def asks():
            return input()
        @app.get("/debugged")
        def debugged():
            breakpoint()
            return "answered"
        app.run()
    """
    visit = visiting("/debugged", "/traced", "/asks", "/who")
    recorded = shop.record(shop.script(source), visit, iterations=2)
    assert recorded.totals.statuses == {200: 32, 500: 32}
    assert shop.verify().verdict.judgement is Judgement.IDENTICAL
