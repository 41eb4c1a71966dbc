"""``verify --coverage`` and ``thin``: what recordings reach, without a change of the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from coverage import CoverageData

from tests.engine.test_command_line import run

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SHOP = """
    import os, sqlite3, threading, time
    from flask import Flask, jsonify, request

    app = Flask(__name__)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def items(path):
        found = [len(path)]
        if request.method == "POST":
            found.append(time.time())
        thread = threading.Thread(target=lambda: found.append(2))
        thread.start()
        thread.join()
        if not found:
            return "never"
        return jsonify(id=1, count=len(found)), 201

    if __name__ == "__main__":
        app.run()
"""


def test_requests_reach_their_lines(bench: Bench) -> None:
    """Each line has the requests that reached it; the verdict is identical; a copy of a run adds nothing."""
    shop = bench.script(SHOP)
    number = {line.strip(): at for at, line in enumerate(Path(shop).read_text().splitlines(), 1)}
    for name in ("a", "b"):
        code, out, err = run(
            bench.path,
            "record",
            "serve.py",
            "--scenario",
            "mixed",
            "-c",
            "4",
            "-n",
            "2",
            "--run",
            f"runs/{name}",
        )
        assert code == 0, (out, err)
    code, out, err = run(bench.path, "verify", "runs", "--coverage", "data")
    assert (code, err) == (0, ""), out
    assert "total" in out
    data = CoverageData(basename=str(bench.path / "data"))
    data.read()
    of = data.contexts_by_lineno(shop)
    assert "a start" in of[number['@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])']]
    every = {one for one in of[number["found = [len(path)]"]] if one.startswith("a ")}
    posts = {one for one in of[number["found.append(time.time())"]] if one.startswith("a ")}
    assert {f"a request {seq}" for seq in range(1, 41)} == every
    assert posts
    assert posts < every
    assert number['return "never"'] not in of
    code, out, err = run(bench.path, "thin", "runs", "--json")
    assert code == 0, (out, err)
    first, second = json.loads(out)["runs"]
    assert (first["kept"], second["kept"]) == (True, False)
    assert len(first["spare"]) > 30
