"""Serve requests without loadgen and without an engine: what is answered, and what does it leave?

    python oracle.py MODULE:FACTORY DATABASE < requests.json

It prints the answers and the rows of the database as JSON, so that two versions of the code can be compared.
Clocks and random numbers are fixed: two runs of the same code must print the same.
"""

import importlib
import io
import json
import os
import random
import sqlite3
import sys
import time
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_to_bytes

from werkzeug.test import run_wsgi_app

MOMENT = 1_700_000_000.25


def environ(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, object]:
    """Return the WSGI environment of a request."""
    path, _, query = target.partition("?")
    made: dict[str, object] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        made[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    return made


def main() -> None:
    """Answer the requests of standard input, one after the other."""
    target, database = sys.argv[1:]
    time.time = lambda: MOMENT
    os.urandom = random.Random(0).randbytes
    random.seed(0)
    module, _, factory = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    application = getattr(importlib.import_module(module), factory)()
    answers = []
    for method, path, headers, body in json.load(sys.stdin):
        made = environ(method, path, headers, b64decode(body))
        pieces, status, sent = run_wsgi_app(application, made, buffered=True)
        answers.append([status, list(sent), b"".join(pieces).decode("latin-1")])
    with closing(sqlite3.connect(database)) as connection:
        left = list(connection.iterdump())
    print(json.dumps([answers, left]))


if __name__ == "__main__":
    main()
