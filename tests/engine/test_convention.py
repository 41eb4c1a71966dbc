"""Folders with server and client under fixed names: recorded without options, one table for many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import os, time
    from wsgiref.simple_server import make_server

    import click  # of requirements.txt

    hits = 0

    def application(environ, start_response):
        global hits
        hits += 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['PATH_INFO']} {hits} {time.time()} {os.environ['COLOUR']}".encode()]

    if __name__ == "__main__":
        make_server("0.0.0.0", 5000, application).serve_forever()
"""
LOAD = """
    import os, threading, urllib.request

    def ask(path):
        with urllib.request.urlopen(os.environ["SHOP_URL"] + path) as answer:
            return answer.read()

    workers = [threading.Thread(target=ask, args=(f"/{number}",)) for number in range(8)]
    for one in workers: one.start()
    for one in workers: one.join()
    assert ask("/last").startswith(b"/last 9 ") and b"green" in ask("/")
"""
COMPOSE = """
    services:
      server-record:
        environment:
          COLOUR: green
          PYTHONPATH: /app/packages
      record:
        environment:
          - SHOP_URL=http://server-record:5000
"""
HELPER = """
    import time
    from flask import Flask, request

    app = Flask(__name__)

    @app.route("/<path:what>", methods=["GET", "POST"])
    def answer(what):
        return {"at": time.time(), "what": what, "body": request.get_data(as_text=True)}

    if __name__ == "__main__":
        app.run(port=5000)
"""
TRACED = """
    import os, random, threading, time, requests

    URL = os.environ["SERVER_URL"]
    with requests.Session() as http:
        at = http.get(f"{URL}/begin").json()["at"]
        print("began", at, random.random())
        http.post(f"{URL}/post", json={"at": at, "now": time.time()})

    def ask(number):
        requests.get(f"{URL}/thread/{number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()
    raise SystemExit(3)
"""


def write(folder: Path, **files: str) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(textwrap.dedent(text))


def loadgen(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "loadgen", *words, "--quiet"],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout


def test_folders(tmp_path: Path) -> None:
    """Server and load; a traced client and its server; one that is neither. A changed client is noticed."""
    write(tmp_path / "load", test_py=SERVER, client_py=LOAD, requirements_txt="click>=8\n")
    (tmp_path / "load" / "docker-compose.yml").write_text(textwrap.dedent(COMPOSE))
    write(tmp_path / "traced", app_py=HELPER, test_py=TRACED)
    write(tmp_path / "other", main_py="")

    code, said = loadgen(tmp_path, "record", "load", "traced", "other")
    assert code == 3, said
    assert "neither test.py and client.py, nor app.py and test.py" in " ".join(said.split())
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["load"][:2] == ["yes", "10"], said
    assert rows["traced"][:2] == ["yes", "6"], said
    assert rows["traced"][-1] == "3", said
    manifest = json.loads((tmp_path / "load/runs/latest/run.json").read_text())
    assert str(tmp_path / "cache") in manifest["spec"]["python"]
    assert manifest["spec"]["server_env"] == ["COLOUR"]

    code, said = loadgen(tmp_path, "verify", "load", "traced")
    assert code == 0, said
    assert "2 runs: 2 identical" in said
    assert loadgen(tmp_path, "verify", "traced", "--replay", "boundary")[0] == 0

    script = tmp_path / "traced" / "test.py"
    for before, after, code, says in (
        ('json={"at": at', 'json={"at": 1', 1, "left the tape"),
        ('"began"', '"begins"', 1, "prints 'begins"),
        ("range(4)", "range(5)", 1, "left the tape"),
        ("SystemExit(3)", "SystemExit(4)", 3, "did not end with exit code 3: exit code 4"),
    ):
        text = script.read_text()
        script.write_text(text.replace(before, after))
        got, said = loadgen(tmp_path, "verify", "traced")
        assert (got, says in " ".join(said.split())) == (code, True), said
        script.write_text(text)
