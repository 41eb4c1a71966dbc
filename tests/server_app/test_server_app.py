"""The contract of the server application: by endpoint in this process, and as a process under concurrency."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from server_app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

CLIENTS = 32
ROUNDS = 3
ROOT = Path(__file__).parents[2]
USER = {"name": "Ada", "email": "ada@example.org"}
POST = {"user_id": 1, "title": "Notes", "content": "On the engine"}
HUGE_IDS = [2**63 - 1, 2**63, 10**30]

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def client(database: Path) -> FlaskClient:
    return create_app(database).test_client()


def error_of(response: TestResponse, status: int) -> str:
    """Require an error answer of exactly the documented shape, and return its message."""
    assert response.status_code == status
    assert response.is_json
    body = response.get_json()
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]
    return body["error"]


def test_health_reports_the_time(client: FlaskClient) -> None:
    """Health is a status and the current time, nothing else."""
    before = time.time()
    response = client.get("/health")
    assert response.status_code == 200
    body = response.get_json()
    assert body.keys() == {"status", "timestamp"}
    assert body["status"] == "ok"
    assert before <= body["timestamp"] <= time.time()


def test_health_touches_no_database(client: FlaskClient, database: Path) -> None:
    """A database that cannot be read fails what reads it, in JSON, and leaves health alone."""
    database.write_bytes(b"not a database" * 100)
    error_of(client.get("/api/stats"), 500)
    assert client.get("/health").status_code == 200


def test_users_start_empty(client: FlaskClient) -> None:
    """A new database lists no users, and counts none."""
    assert client.get("/api/users").get_json() == {"users": [], "count": 0}


def test_a_created_user_is_the_one_read_back(client: FlaskClient) -> None:
    """Creation answers 201 with the stored row, the same in each place it can be read."""
    before = time.time()
    response = client.post("/api/users", json=USER)
    assert response.status_code == 201
    user = response.get_json()
    assert user == USER | {"id": 1, "created_at": user["created_at"]}
    assert before <= user["created_at"] <= time.time()
    assert client.get("/api/users/1").get_json() == user
    assert client.get("/api/users").get_json() == {"users": [user], "count": 1}


def test_users_are_listed_newest_first(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is the ids', which differ even where the clock stands still."""
    monkeypatch.setattr(time, "time", lambda: 1.5)
    for _ in range(3):
        client.post("/api/users", json=USER)
    body = client.get("/api/users").get_json()
    assert [(user["id"], user["created_at"]) for user in body["users"]] == [(3, 1.5), (2, 1.5), (1, 1.5)]
    assert body["count"] == 3


def test_a_created_post_is_the_one_read_back(client: FlaskClient) -> None:
    """Creation answers 201 with the stored row, and its author's list shows the same."""
    client.post("/api/users", json=USER)
    before = time.time()
    response = client.post("/api/posts", json=POST)
    assert response.status_code == 201
    post = response.get_json()
    assert post == POST | {"id": 1, "created_at": post["created_at"]}
    assert before <= post["created_at"] <= time.time()
    assert client.get("/api/users/1/posts").get_json() == {"posts": [post], "count": 1}


def test_posts_are_listed_newest_first_and_by_author(client: FlaskClient) -> None:
    """A user's list holds their own posts only, by descending id."""
    for _ in range(3):
        client.post("/api/users", json=USER)
    for author in (1, 2, 1, 2, 1):
        client.post("/api/posts", json=POST | {"user_id": author})
    listed = {author: client.get(f"/api/users/{author}/posts").get_json() for author in (1, 2, 3)}
    assert {author: [post["id"] for post in body["posts"]] for author, body in listed.items()} == {
        1: [5, 3, 1],
        2: [4, 2],
        3: [],
    }
    assert [body["count"] for body in listed.values()] == [3, 2, 0]


def test_stats_count_what_is_stored(client: FlaskClient) -> None:
    """Stats hold both counts, and the current time."""
    client.post("/api/users", json=USER)
    for _ in range(2):
        client.post("/api/posts", json=POST)
    before = time.time()
    body = client.get("/api/stats").get_json()
    assert body == {"users": 1, "posts": 2, "timestamp": body["timestamp"]}
    assert before <= body["timestamp"] <= time.time()


def test_text_is_stored_as_it_was_sent(client: FlaskClient) -> None:
    """Nothing is trimmed, normalised, cut at a NUL or run as SQL."""
    text = "  Ω e\u0301 \U0001f600 \0 '); DROP TABLE users; --\n"
    created = client.post("/api/users", json={"name": text, "email": text}).get_json()
    assert created == client.get("/api/users/1").get_json()
    assert created["name"] == created["email"] == text


def test_fields_that_are_not_asked_for_are_ignored(client: FlaskClient) -> None:
    """A client can set neither the id nor the time of a row."""
    user = client.post("/api/users", json=USER | {"id": 77, "created_at": 0, "more": []}).get_json()
    assert user.keys() == {"id", "name", "email", "created_at"}
    assert user["id"] == 1
    assert user["created_at"] > 0


@pytest.mark.parametrize("value", ["", " \t\n", None, 7, 1.5, True, ["x"], {"x": 1}, "\ud800"])
@pytest.mark.parametrize(
    ("path", "valid", "field"),
    [
        ("/api/users", USER, "name"),
        ("/api/users", USER, "email"),
        ("/api/posts", POST, "title"),
        ("/api/posts", POST, "content"),
    ],
)
def test_text_fields_refuse_what_is_not_text(
    client: FlaskClient, path: str, valid: dict[str, Any], field: str, value: object
) -> None:
    """Blank, wrongly typed and unstorable text is a 400 that names the field, and stores nothing."""
    client.post("/api/users", json=USER)
    assert field in error_of(client.post(path, json=valid | {field: value}), 400)
    stats = client.get("/api/stats").get_json()
    assert (stats["users"], stats["posts"]) == (1, 0)


@pytest.mark.parametrize("value", ["1", "", None, 1.0, True, False, [1], {"id": 1}])
def test_a_user_id_is_an_integer(client: FlaskClient, value: object) -> None:
    """Only a JSON integer is an id: not a float, a boolean or a numeral in a string."""
    client.post("/api/users", json=USER)
    assert "user_id" in error_of(client.post("/api/posts", json=POST | {"user_id": value}), 400)


@pytest.mark.parametrize(("path", "valid"), [("/api/users", USER), ("/api/posts", POST)])
def test_each_field_is_required(client: FlaskClient, path: str, valid: dict[str, Any]) -> None:
    """Leaving out any one field is a 400 that names it."""
    client.post("/api/users", json=USER)
    for field in valid:
        rest = {name: value for name, value in valid.items() if name != field}
        assert field in error_of(client.post(path, json=rest), 400)


@pytest.mark.parametrize("path", ["/api/users", "/api/posts"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "Ada",}',
        b"\xff\xfe\xfd",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"true",
        b"NaN",
        b'{"user_id": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
    ],
    ids=lambda body: repr(body[:16]),
)
def test_a_body_is_a_json_object(client: FlaskClient, path: str, body: bytes) -> None:
    """Malformed JSON, and JSON of any other kind, is a 400: never a crash of the parser."""
    assert "JSON object" in error_of(client.post(path, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_is_declared_as_json(client: FlaskClient, content_type: str | None) -> None:
    """A JSON object under another content type, or under none, is a 400."""
    response = client.post("/api/users", data=json.dumps(USER), content_type=content_type)
    assert "application/json" in error_of(response, 400)


@pytest.mark.parametrize("user_id", [0, 2, *HUGE_IDS])
@pytest.mark.parametrize("path", ["/api/users/{}", "/api/users/{}/posts"])
def test_reading_an_unknown_user(client: FlaskClient, path: str, user_id: int) -> None:
    """An id that no row has is a 404, also where SQLite's integers end."""
    client.post("/api/users", json=USER)
    error_of(client.get(path.format(user_id)), 404)


@pytest.mark.parametrize("user_id", ["-1", "abc", "1.0", "9" * 5000, "%D9%A1"])
def test_a_path_that_holds_no_id(client: FlaskClient, user_id: str) -> None:
    """What is not a decimal id, or has more digits than ``int`` reads, is a 404 like any unknown path."""
    client.post("/api/users", json=USER)
    error_of(client.get(f"/api/users/{user_id}"), 404)


@pytest.mark.parametrize("user_id", [0, -1, 2, -(10**30), *HUGE_IDS])
def test_posting_for_an_unknown_user(client: FlaskClient, user_id: int) -> None:
    """A post needs an author: otherwise it is a 404, and the transaction leaves neither row nor lock."""
    client.post("/api/users", json=USER)
    assert str(user_id) in error_of(client.post("/api/posts", json=POST | {"user_id": user_id}), 404)
    assert client.post("/api/posts", json=POST).get_json()["id"] == 1


@pytest.mark.parametrize("path", ["/", "/api", "/api/posts/1", "/api/users/", "/static/app.py"])
def test_unknown_routes(client: FlaskClient, path: str) -> None:
    """Only the documented paths exist, and the others say so in JSON."""
    error_of(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", "GET"),
        ("DELETE", "/api/users", "POST"),
        ("PUT", "/api/users/1", "GET"),
        ("POST", "/api/users/1/posts", "GET"),
        ("GET", "/api/posts", "POST"),
        ("PATCH", "/api/stats", "GET"),
    ],
)
def test_unknown_methods(client: FlaskClient, method: str, path: str, allowed: str) -> None:
    """A method that a path does not have is a 405 in JSON that still names those it has."""
    response = client.open(path, method=method)
    error_of(response, 405)
    assert allowed in response.headers["Allow"]


def test_rows_outlive_the_process_that_wrote_them(database: Path) -> None:
    """Starting on an existing file keeps its rows and goes on counting."""
    create_app(database).test_client().post("/api/users", json=USER)
    again = create_app(database).test_client()
    assert again.post("/api/users", json=USER).get_json()["id"] == 2
    assert again.get("/api/users").get_json()["count"] == 2


@pytest.mark.parametrize(("setting", "name"), [("named.db", "named.db"), ("", "app.db"), (None, "app.db")])
def test_the_environment_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, name: str
) -> None:
    """The schema is created at start, in ``DB_FILE``, or in ``app.db`` when that is unset or empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DB_FILE", raising=False)
    if setting is not None:
        monkeypatch.setenv("DB_FILE", setting)
    create_app()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_connections_are_closed_not_collected(
    client: FlaskClient, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer, errors included, leaves the file closed even where nothing is ever garbage."""
    kept: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def keep(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        kept.append(connect(*args, **kwargs))
        assert database in open_files()
        return kept[-1]

    monkeypatch.setattr(sqlite3, "connect", keep)
    requests: list[tuple[str, dict[str, Any] | None, int]] = [
        ("/api/users", USER, 201),
        ("/api/users", None, 200),
        ("/api/users/1", None, 200),
        ("/api/users/2", None, 404),
        ("/api/posts", POST, 201),
        ("/api/posts", POST | {"user_id": 2}, 404),
        ("/api/users/1/posts", None, 200),
        ("/api/stats", None, 200),
    ]
    for number, (path, body, status) in enumerate(requests, start=1):
        response = client.get(path) if body is None else client.post(path, json=body)
        assert (response.status_code, len(kept)) == (status, number)
        assert database not in open_files()


def open_files() -> set[Path]:
    """Return what this process's descriptors point to."""
    return {link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a real client got back."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that accepts connections."""

    url: str
    log: Path

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send one request over its own connection: a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Run ``python -m server_app`` with *options* on a port of its own choosing, until the block ends."""
    log = folder / "server.log"  # a file: a pipe that nobody reads would fill and stop the server
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "server_app", "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"DB_FILE": str(folder / "app.db")},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while not (listening := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            yield Server(listening[0], log)
        finally:
            process.kill()


def drive(server: Server, number: int, start: threading.Barrier) -> list[Answer]:
    """Be one client: write, read back what was written, make mistakes; return all answers."""
    start.wait()
    created = server.ask("/api/users", USER | {"name": f"user {number}"})
    user_id = created.body["id"]
    answers = [created]
    for round_ in range(ROUNDS):
        post = server.ask("/api/posts", POST | {"user_id": user_id, "title": f"post {round_}"})
        posts = server.ask(f"/api/users/{user_id}/posts")
        assert posts.body["posts"][0] == post.body
        assert posts.body["count"] == len(posts.body["posts"]) == round_ + 1
        answers += [
            post,
            posts,
            server.ask("/api/users"),
            server.ask("/api/stats"),
            server.ask("/api/posts", POST | {"user_id": 10**6}),
        ]
    return answers


@pytest.mark.slow
def test_32_clients_at_once(tmp_path: Path) -> None:
    """Under contention every write is stored once, every read is consistent, and nothing fails.

    Ids are dense because each is given under the write lock, and a refused post gives none away.
    """
    start = threading.Barrier(CLIENTS, timeout=30)
    with serving(tmp_path) as server, ThreadPoolExecutor(CLIENTS) as clients:
        driven = list(clients.map(lambda number: drive(server, number, start), range(CLIENTS)))
        users, stats = server.ask("/api/users").body, server.ask("/api/stats").body
        log = server.log.read_text()
    answers = [answer for one in driven for answer in one]
    expected = [201, *[201, 200, 200, 200, 404] * ROUNDS]
    assert [[answer.status for answer in one] for one in driven] == [expected] * CLIENTS
    posts = [answer.body for answer in answers if answer.status == 201 and "title" in answer.body]
    assert sorted(post["id"] for post in posts) == list(range(1, CLIENTS * ROUNDS + 1))
    assert [user["id"] for user in users["users"]] == list(range(CLIENTS, 0, -1))
    assert users["users"] == sorted((one[0].body for one in driven), key=lambda user: -user["id"])
    assert (stats["users"], stats["posts"]) == (CLIENTS, CLIENTS * ROUNDS) == (users["count"], len(posts))
    assert "Traceback" not in log
    assert "locked" not in log
