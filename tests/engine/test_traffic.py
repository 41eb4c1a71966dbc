"""Existing traffic: a recorded log-in, hosts, thresholds, and answers that are mostly errors."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.core.exchange import Response
from loadgen.store.run_folder import read_transcript
from tests.engine.test_command_line import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.once]

SHOP = """
    import os, secrets, sqlite3
    from flask import Flask, jsonify, redirect, request, session

    app = Flask(__name__)
    app.secret_key = "k"

    def db():
        connection = sqlite3.connect(os.environ["DB_FILE"], timeout=20)
        connection.execute("create table if not exists items (id integer primary key, name text)")
        return connection

    @app.get("/health")
    def health():
        return "ok"

    @app.get("/login")
    def form():
        session["csrf"] = secrets.token_urlsafe(16)
        return f'<form method=post><input type=hidden name=csrf_token value="{session["csrf"]}"></form>'

    @app.post("/login")
    def login():
        if request.form.get("csrf_token") != session.get("csrf"):
            return "csrf", 403
        session["user"] = request.form["name"]
        return redirect("/")

    @app.post("/items")
    def make():
        if "user" not in session:
            return "who?", 401
        with db() as connection:
            made = connection.execute("insert into items (name) values (?)", (request.json["name"],))
        return jsonify(id=made.lastrowid), 201

    @app.get("/items/<int:number>")
    def show(number):
        row = db().execute("select id, name from items where id = ?", (number,)).fetchone()
        return jsonify(id=row[0], name=row[1]) if row else ("none", 404)
"""


def visit(host: str) -> dict[str, Any]:
    """Return the HAR file of a visit on another day, to a database that had 900 items."""
    entries: list[dict[str, Any]] = []

    def add(method: str, target: str, body: str, status: int, answer: str, *fields: tuple[str, str]) -> None:
        kind = "application/json" if body[:1] == "{" else "application/x-www-form-urlencoded"
        headers = [("Cookie", f"session=then{len(entries)}")] if entries else []
        headers += [("Content-Type", kind)] if body else []
        answered = [("Set-Cookie", f"session=then{len(entries) + 1}; Path=/"), *fields]
        entries.append(
            {
                "startedDateTime": f"2026-01-01T00:00:{len(entries):02}Z",
                "request": {
                    "method": method,
                    "url": f"https://{host}{target}",
                    "headers": [{"name": name, "value": value} for name, value in headers],
                    "postData": {"text": body},
                },
                "response": {
                    "status": status,
                    "headers": [{"name": name, "value": value} for name, value in answered],
                    "content": {"text": answer},
                },
            }
        )

    html, data = ("Content-Type", "text/html"), ("Content-Type", "application/json")
    add("GET", "/login", "", 200, '<input name=csrf_token value="a-token-of-then">', html)
    add("POST", "/login", "name=zoe&csrf_token=a-token-of-then", 302, "", ("Location", "/"))
    add("POST", "/items", '{"name": "a"}', 201, '{"id": 901}', data)
    add("GET", "/items/901", "", 200, '{"id": 901, "name": "a"}', data)
    return {"log": {"creator": {"name": "Firefox"}, "entries": entries}}


def statuses(folder: Path) -> dict[int, int]:
    found: dict[int, int] = {}
    with read_transcript(folder / "transcript.jsonl", folder / "bodies") as events:
        for event in events:
            if isinstance(event, Response):
                found[event.status] = found.get(event.status, 0) + 1
    return found


def test_a_recorded_log_in_works_on_an_empty_database(tmp_path: Path) -> None:
    """Eight users at once log in with their own tokens and cookies, and read what they made; it verifies."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    (tmp_path / "visit.har").write_text(json.dumps(visit("shop.test")))
    words = ("record", "shop:app", "--from", "visit.har", "-c", "8", "-n", "2")
    code, out, err = run(tmp_path, *words, "--fail-if", "failed>0", "--run", "one")
    assert code == 0, out + err
    for name in ("cookie session (3)", "csrf_token of GET /login (1)", "id of POST /items (1)"):
        assert name in " ".join(err.split())
    assert statuses(tmp_path / "one") == {200: 32, 302: 16, 201: 16}
    code, out, err = run(tmp_path, "verify", "one")
    assert code == 0, out + err

    code, out, err = run(tmp_path, *words, "--verbatim", "--fail-if", "failed>50%", "--run", "two")
    assert code == 4, out + err
    assert statuses(tmp_path / "two") == {200: 16, 403: 16, 401: 16, 404: 16}
    assert "fail-if    failed>50%: it is 75%" in out
    assert re.search(r"^  succeeded 16; p50 .* max [\d.]+ ms$", out, re.MULTILINE)
    assert "warning    48 of 64 requests failed (401: 16, 403: 16, 404: 16)" in out
    code, out, err = run(tmp_path, "verify", "two")
    assert code == 0, out + err
    assert "48 of 64 requests failed" in " ".join(out.split())


def test_a_server_without_traffic_is_asked_for_its_paths(tmp_path: Path) -> None:
    """Those that need no parameters, by each user; the user is told, and how to bring traffic."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    code, out, err = run(tmp_path, "record", "shop:app", "-c", "4", "-n", "2", "--run", "one")
    assert code == 0, out + err
    assert "requesting each path that needs no parameters" in " ".join(err.split())
    assert statuses(tmp_path / "one") == {200: 8}, "GET /login; the others need a parameter, or a POST"
    assert json.loads((tmp_path / "one" / "run.json").read_text())["spec"]["traffic"]["scenario"] == "routes"
    code, out, err = run(tmp_path, "verify", "one")
    assert code == 0, out + err


def test_the_built_in_scenario_at_a_server_of_ones_own(tmp_path: Path) -> None:
    """It is made for the bundled server: where the result is read, it says so, and how to bring traffic."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    code, out, err = run(tmp_path, "record", "shop:app", "--scenario", "mixed", "-c", "2", "--run", "one")
    assert code == 0, out + err
    assert "requests failed (404: " in out
    assert "--scenario file.py or --from file" in out


def test_conditions_and_hosts_are_checked_before_anything_is_recorded(tmp_path: Path) -> None:
    """A mistake in them is a usage error, at once."""
    (tmp_path / "visit.har").write_text(json.dumps(visit("shop.test")))
    for words, says in (
        (("--fail-if", "p99>200"), "p99 is given with ms"),
        (("--host", "shop.test"), "--host also needs --from"),
        (("--verbatim",), "--verbatim also needs --from"),
        (("--from", "visit.har", "--host", "other.test"), "4 to shop.test"),
    ):
        code, out, err = run(tmp_path, "record", *words)
        assert (code, out) == (2, "")
        assert says in err
    assert not (tmp_path / "runs").exists()
