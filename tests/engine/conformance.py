"""An application that uses all of WSGI, and raw requests to it, to compare servers byte by byte."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION = '''
    import gzip, hashlib, io, os, time
    from flask import Flask, Response, abort, jsonify, redirect, request, send_file, url_for

    def raw(environ, start_response):
        """What WSGI allows and Flask does not do."""
        kind = environ["PATH_INFO"].removeprefix("/raw/")
        text = [("Content-Type", "text/plain")]
        if kind == "one":
            start_response("200 FINE", text)
            return [b"one piece, no length"]
        if kind == "two":
            start_response("200 OK", text)
            return [b"two ", b"pieces"]
        if kind == "none":
            start_response("200 OK", text)
            return []
        if kind == "empty":
            start_response("200 OK", text)
            return [b""]
        if kind == "empties":
            start_response("200 OK", text)
            return iter([b"", b"a", b"", b"b", b""])
        if kind == "late":
            def late():
                start_response("203 Late", text)
                yield b"started late"
            return late()
        if kind == "write":
            write = start_response("200 OK", text)
            write(b"written, ")
            write(b"twice, ")
            return [b"returned"]
        if kind == "late-write":
            def writing():
                write = start_response("200 OK", text)
                write(b"written, ")
                yield b"yielded, "
                write(b"written again, ")
                yield b"and at last"
            return writing()
        if kind == "replaced-behind-nothing":
            def replacing():
                start_response("200 OK", text)
                yield b""
                try:
                    raise ValueError("for a server that has sent the head")
                except ValueError as error:
                    start_response("502 Replaced", text, (ValueError, error, error.__traceback__))
                yield b"replaced"
            return replacing()
        if kind == "no-length":
            class Unmeasured(list):
                def __len__(self):
                    raise ValueError("for a server that asks")
            start_response("200 OK", text)
            return Unmeasured([b"not measured"])
        if kind == "changed-headers":
            start_response("200 OK", text)
            text.append(("X-Late", "yes"))
            return [b"behind its head"]
        if kind in ("tuple", "dict", "number", "triple"):
            heads = {"tuple": tuple(text), "dict": dict(text), "number": text, "triple": [("X-A", "1", "2")]}
            start_response(200 if kind == "number" else "200 OK", heads[kind])
            return [b"not quite WSGI"]
        if kind in ("base", "exit", "interrupt", "between-base", "close-base"):
            class Closed(list):
                def close(self):
                    raise GeneratorExit("at close")
            def breaking():
                yield b"some"
                raise BaseException("between")
            if kind in ("between-base", "close-base"):
                start_response("200 OK", text)
                return breaking() if kind == "between-base" else Closed([b"one", b"two"])
            raise {"base": BaseException, "exit": GeneratorExit, "interrupt": KeyboardInterrupt}[kind](kind)
        if kind == "server":
            names = ("wsgi.early_hints", "waitress.client_disconnected")
            hint, left = (environ.get(name) for name in names)
            told = [hint and hint([("Link", "</style.css>; rel=preload")]), left and left()]
            start_response("200 OK", text)
            return [repr(told).encode()]
        if kind == "twice":
            start_response("200 OK", text)
            start_response("503 Changed", text, (ValueError, ValueError("x"), None))
            return [b"its mind"]
        if kind == "again":
            start_response("200 OK", text)
            try:
                start_response("404 No", text)
            except AssertionError:
                return [b"refused"]
            return [b"accepted"]
        if kind == "fails":
            raise ValueError("before the head")
        if kind == "fails-after-head":
            start_response("200 OK", text)
            raise ValueError("after the head")
        if kind == "fails-between":
            def pieces():
                yield b"some"
                raise ValueError("between")
            start_response("200 OK", text)
            return pieces()
        if kind == "long":
            start_response("200 OK", [*text, ("Content-Length", "5")])
            return [b"longer than it says"]
        if kind == "long-pieces":
            start_response("200 OK", [*text, ("Content-Length", "5")])
            return iter([b"123", b"456", b"789"])
        if kind == "short":
            start_response("200 OK", [*text, ("Content-Length", "50"), ("Connection", "close")])
            return [b"shorter"]
        if kind == "own":
            own = [("Date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("Server", "mine/1.0"), ("X-Kept", "yes")]
            start_response("200 OK", [*text, *own])
            return [b"own"]
        if kind == "double":
            twice = [("X-A", "1"), ("x-a", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
            start_response("200 OK", [*text, *twice])
            return [b"double"]
        if kind == "latin":
            start_response("200 OK", [*text, ("X-Name", "caf\\xe9")])
            return [environ.get("HTTP_X_NAME", "").encode("latin-1")]
        if kind in ("file", "file-part", "file-memory", "file-missing", "file-text", "file-text-memory"):
            pieces = lambda file, size=1000: iter(lambda: file.read(size), b"")
            wrapper = environ.get("wsgi.file_wrapper", pieces)
            file = io.BytesIO(b"in memory" * 2000) if kind == "file-memory" else open("static/data.bin", "rb")
            if kind.startswith("file-text"):
                file = io.StringIO("text") if kind == "file-text-memory" else open("conforming.py")
            if kind == "file-part":
                file.seek(100)
                text.append(("Content-Length", "9000"))
            if kind == "file-missing":
                file.close()
            start_response("200 OK", text)
            return wrapper(file, *[1000] * (kind == "file"))
        if kind in ("fails-at-close", "fails-at-close-of-one"):
            class Closed(list):
                def close(self):
                    raise ValueError("at close")
            start_response("200 OK", text)
            return Closed([b"all", b"sent"] if kind == "fails-at-close" else [b"sent"])
        if kind in ("text", "bytes", "array", "view"):
            start_response("200 OK", text)
            wrong = {"text": "text", "array": bytearray(b"array"), "view": memoryview(b"view")}
            return b"bytes" if kind == "bytes" else [wrong[kind]]
        if kind.startswith("input-"):
            stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
            reads = {
                "asked": lambda: stream.read(int(length or 0)), "some": lambda: stream.read(4),
                "line": stream.readline, "lines": stream.readlines, "iter": lambda: list(stream),
                "all": stream.read, "into": lambda: stream.readinto(bytearray(4)), "unread": lambda: b"",
            }
            try:
                found = reads[kind.removeprefix("input-")]()
            except Exception as error:
                found = [type(error).__name__, str(error)]
            start_response("200 OK", text)
            return [repr([length, found]).encode()]
        if kind == "environ":
            names = ("multithread", "multiprocess", "run_once", "url_scheme", "version")
            start_response("200 OK", text)
            return [repr([environ.get(f"wsgi.{name}") for name in names]).encode()]
        start_response("404 Nothing", text)
        return [environ["PATH_INFO"].encode("latin-1")]

    app = Flask(__name__)
    flask_app = app.wsgi_app
    app.wsgi_app = lambda environ, start: (
        raw if environ["PATH_INFO"].startswith("/raw/") else flask_app
    )(environ, start)

    @app.get("/health")
    def health():
        return "ok"

    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def echo():
        return jsonify(
            method=request.method, path=request.path, query=request.query_string.decode("latin-1"),
            body=hashlib.sha256(request.get_data()).hexdigest(), length=len(request.get_data()),
            names=sorted(request.headers.keys() - {"X-Loadgen-Seq"}), args=request.args.to_dict(flat=False),
            form=request.form.to_dict(flat=False), accept=request.headers.get("X-Twice"),
        )

    @app.get("/status/<int:code>")
    def status(code):
        return "", code

    @app.get("/named")
    def named():
        return Response("named", status="299 All Right")

    @app.get("/away")
    def away():
        return redirect(url_for("echo", n=1))

    @app.get("/slash/")
    def slash():
        return "slash"

    @app.get("/send")
    def send():
        return send_file(os.path.abspath("static/data.bin"), conditional=True)

    @app.get("/send-open")
    def send_open():
        return send_file(open("static/data.bin", "rb"), mimetype="text/plain")

    @app.get("/tagged")
    def tagged():
        answer = Response("tagged" * 100)
        answer.add_etag()
        return answer.make_conditional(request)

    @app.get("/dated")
    def dated():
        answer = Response("dated")
        answer.date = 1_700_000_000
        answer.last_modified = 1_600_000_000
        return answer

    @app.get("/gzip")
    def gzipped():
        return Response(gzip.compress(b"squeezed" * 1000, mtime=0), headers={"Content-Encoding": "gzip"})

    @app.get("/large/<int:size>")
    def large(size):
        return Response(b"0123456789abcdef" * (size // 16))

    @app.get("/stream/<int:pieces>")
    def stream(pieces):
        return Response((f"piece {n}\\n" for n in range(pieces)), mimetype="text/plain")

    @app.get("/nothing")
    def nothing():
        return Response(iter(()), mimetype="text/plain")

    @app.get("/raises")
    def raises():
        raise LookupError("for Flask to answer")

    @app.get("/teapot")
    def teapot():
        abort(418)
'''

SERVING = """
    import sys
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server
    from conforming import app

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server("127.0.0.1", int(sys.argv[1]), app, server_class=Server).serve_forever()
"""
COMMANDS = {
    "flask": ("flask --app conforming:app run --no-reload --port {port}", "flask --app conforming:app run"),
    "waitress": (
        "waitress-serve --listen 127.0.0.1:{port} --max-request-body-size 3000000 conforming:app",
        "waitress-serve --max-request-body-size 3000000 conforming:app",
    ),
    "gthread": (
        "gunicorn --bind 127.0.0.1:{port} --worker-class gthread --threads 4 conforming:app",
        "gunicorn --worker-class gthread --threads 4 conforming:app",
    ),
    "wsgiref": ("python serving.py {port}", "python serving.py 0"),
    "sync": ("gunicorn --bind 127.0.0.1:{port} conforming:app", "gunicorn conforming:app"),
}
"""How each server is started plainly, and to be recorded."""
SERVERS = [pytest.param(name, marks=pytest.mark.once if name == "wsgiref" else ()) for name in COMMANDS]


def request(
    target: str, *headers: str, method: str = "GET", body: bytes = b"", version: str = "1.1"
) -> bytes:
    """Return the bytes of a request; a length is given where there is a body, unless the headers give one."""
    lines = [f"{method} {target} HTTP/{version}", "Host: conforming", *headers]
    given = "".join(headers).lower()
    if body and "content-length" not in given and "transfer-encoding" not in given:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_FORM = ("Content-Type: application/x-www-form-urlencoded",)
_CHUNKED = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
_LEFT_OPEN = ("dict", "number", "triple", "file-text", "file-text-memory")
"""Some servers send half an answer and leave the connection open, so that a client waits that does, too."""
_NO_EXCEPTIONS = ("base", "exit", "interrupt", "between-base", "close-base")
"""Fail with what is no ``Exception``: waitress then leaves the connection open, and its client waits."""
_RAW = (
    "one", "two", "none", "empty", "empties", "late", "write", "twice", "again", "fails", "fails-after-head",
    "fails-between", "long", "long-pieces", "short", "own", "double", "latin", "environ", "unknown",
    "file", "file-part", "file-memory", "file-missing", "fails-at-close", "fails-at-close-of-one", "text",
    "bytes", "array", "view", "late-write", "replaced-behind-nothing", "no-length", "changed-headers",
    "server", "tuple", *_LEFT_OPEN, *_NO_EXCEPTIONS,
)  # fmt: skip
_LENGTHS = {
    "valid": ("Content-Length: 3",),
    "absent": ("X-Length: content-length",),
    "empty": ("Content-Length:",),
    **{
        f"is {value}": (f"Content-Length: {value}",)
        for value in ("+3", "-1", "1_0", "3, 3", "3.0", "three", "003", "9" * 20)
    },
    "twice": ("Content-Length: 3", "Content-Length: 3"),
    "two": ("Content-Length: 3", "Content-Length: 4"),
    "chunks": ("Transfer-Encoding: chunked",),
    "chunks and length": ("Transfer-Encoding: chunked", "Content-Length: 3"),
    "gzip": ("Transfer-Encoding: gzip", "Content-Length: 3"),
}
_BODY = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
_BROKEN = b"5\r\nhello\r\nxx\r\n world\r\n0\r\n\r\n"
INPUTS: dict[str, bytes] = {
    **{
        f"input {how} {name}": request(f"/raw/input-{how}", *lines, method="POST", body=_BODY)
        for how in ("asked", "some", "line", "lines", "iter", "all", "into", "unread")
        for name, lines in _LENGTHS.items()
    },
    **{
        f"input {how} broken": request(
            f"/raw/input-{how}", "Transfer-Encoding: chunked", method="POST", body=_BROKEN
        )
        for how in ("some", "all", "unread")
    },
}
"""Bodies with all kinds of lengths, read in all kinds of ways."""

REQUESTS: dict[str, bytes] = {
    **{f"raw {kind}": request(f"/raw/{kind}") for kind in _RAW},
    **{
        f"HEAD raw {kind}": request(f"/raw/{kind}", method="HEAD")
        for kind in ("one", "two", "none", "late", "file", "replaced-behind-nothing")
    },
    **{
        f"1.0 raw {kind}": request(f"/raw/{kind}", version="1.0")
        for kind in ("one", "two", "none", "empties", "file", "fails-at-close")
    },
    "get": request("/echo"),
    "1.0": request("/echo", version="1.0"),
    "1.0 kept": request("/echo", "Connection: keep-alive", version="1.0"),
    "close": request("/echo", "Connection: close"),
    "head": request("/echo", method="HEAD"),
    "head stream": request("/stream/5", method="HEAD"),
    "head file": request("/static/data.bin", method="HEAD"),
    "options": request("/echo", method="OPTIONS"),
    "not allowed": request("/tagged", method="DELETE"),
    "strange method": request("/echo", method="BREW"),
    **{f"status {code}": request(f"/status/{code}") for code in (201, 204, 205, 304, 400, 404, 500, 503)},
    "reason": request("/named"),
    "redirect": request("/away"),
    "slash": request("/slash"),
    "static": request("/static/data.bin"),
    "static range": request("/static/data.bin", "Range: bytes=100-299"),
    "static suffix": request("/static/data.bin", "Range: bytes=-5"),
    "static bad range": request("/static/data.bin", "Range: bytes=999999-"),
    "static missing": request("/static/none.bin"),
    "static escape": request("/static/../conforming.py"),
    "not modified": request("/static/data.bin", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    "send": request("/send"),
    "send open": request("/send-open"),
    "send range": request("/send", "Range: bytes=1-3"),
    "tagged": request("/tagged"),
    "tagged none match": request("/tagged", 'If-None-Match: "nothing", *'),
    "dated": request("/dated"),
    "gzip": request("/gzip", "Accept-Encoding: gzip"),
    "large": request("/large/1048576"),
    "stream": request("/stream/7"),
    "stream none": request("/nothing"),
    "stream 1.0": request("/stream/7", version="1.0"),
    "raises": request("/raises"),
    "teapot": request("/teapot"),
    "missing": request("/none"),
    "double headers": request("/echo", "X-Twice: a", "X-Twice: b", "Cookie: a=1", "Cookie: b=2"),
    "high header": request("/raw/latin", "X-Name: caf\xe9"),
    "odd query": request("/echo?a=%zz&b=%C3%A9&c=+&&=&d"),
    "odd path": request("/a//b/%2e%2e/%2F%20%C3%A9;x=1"),
    "high target": request("/echo?x=\xe9"),
    "absolute": request("http://conforming/echo?abs"),
    "post": request("/echo", method="POST", body=b"0123456789"),
    "post form": request("/echo", *_FORM, method="POST", body=b"a=1&a=2&b=%20"),
    "post large": request("/echo", method="POST", body=b"x" * 2_000_000),
    "post chunked": request("/echo", "Transfer-Encoding: chunked", method="POST", body=_CHUNKED),
    "post empty": request("/echo", "Content-Length: 0", method="POST"),
    "post no length": request("/echo", method="POST"),
    "post bad length": request("/echo", "Content-Length: many", method="POST"),
    "long target": request("/echo?" + "q" * 5000),
    "too long target": request("/echo?" + "q" * 70_000),
    "long header": request("/echo", "X-Long: " + "h" * 9000),
    "too long header": request("/echo", "X-Long: " + "h" * 70_000),
    **{f"{n} headers": request("/echo", *(f"X-{i}: {i}" for i in range(n - 1))) for n in range(98, 103)},
    "too many headers": request("/echo", *(f"X-{n}: {n}" for n in range(200))),
    "too large": request("/echo", method="POST", body=b"y" * 3_000_001),
    "bad version": b"GET /echo HTTP/9.9\r\nHost: conforming\r\n\r\n",
    "garbage": b"\x00\x01\x02 what is this\r\n\r\n",
    "bad header": b"GET /echo HTTP/1.1\r\nHost: conforming\r\nno colon here\r\n\r\n",
}
"""Each is sent on a connection of its own, of which the sending half is closed behind it."""


def ending(requests: dict[str, bytes], server: str, *, half_closed: bool = True) -> dict[str, bytes]:
    """Return the requests whose connections *server* closes, for clients whose sending half is closed."""
    kinds = (*(_NO_EXCEPTIONS if server == "waitress" else ()), *(() if half_closed else _LEFT_OPEN))
    left_open = {f"{kept}raw {kind}" for kind in kinds for kept in ("", "kept ")}
    return {name: data for name, data in requests.items() if name not in left_open}


KEPT: dict[str, bytes] = {
    f"kept {name}": data + request("/raw/one", "Connection: close")
    for name, data in REQUESTS.items()
    if data.endswith(b"\r\n\r\n")
    and data.startswith((b"GET /", b"HEAD /"))
    and len(data) < 1000
    and name != "raw short"  # gunicorn's connection is closed behind it, so that the client sees the end
}
"""Each with another request behind it, on the same connection."""

LIVE = re.compile(rb"(?im)^(date): [^\r\n]*")
"""What differs between two answers of one live server."""
LATER = 10_000
"""What the number of a second request is higher by."""
OURS = re.compile(rb"(?im)^x-loadgen-[a-z]+: [^\r\n]*\r\n")


def numbered(data: bytes, number: int) -> bytes:
    """Return requests with their numbers, as far as they have a head that can hold one."""
    host = b"\r\nHost: conforming\r\n"
    first, *more = data.split(host)
    numbers = (b"%sX-Loadgen-Seq: %d\r\n" % (host, number + at * LATER) for at in range(len(more)))
    return first + b"".join(head + rest for head, rest in zip(numbers, more, strict=True))


def answer(port: int, data: bytes) -> bytes:
    """Send *data*, and return all that comes until the server closes or pauses, without what is live."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the server has answered and closed already
            pass
        pieces = []
        try:
            while piece := connection.recv(1 << 16):
                pieces.append(piece)
        except ConnectionResetError:
            pass
    return LIVE.sub(rb"\1: live", OURS.sub(b"", b"".join(pieces)))


@contextmanager
def plain(command: str, folder: Path) -> Iterator[int]:
    """Run a server without loadgen, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name, *arguments = command.format(port=port).split()
    log = (folder / "plain.log").open("wb")
    with log, subprocess.Popen(
        [str(Path(sys.executable).parent / name), *arguments],
        cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONHASHSEED": "0"},
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
