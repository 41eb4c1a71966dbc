"""A debugger inside a replayed request: it sees what was recorded, and disturbs nothing."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.engine.editor import Editor
from tests.engine.terminal import PROMPT, Typed
from tests.engine.test_command_line import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine

SHOP = """\
import os, random, sqlite3, time
from flask import Flask, jsonify, request

app = Flask(__name__)


def connect():
    connection = sqlite3.connect(os.environ["DB_FILE"])
    connection.row_factory = sqlite3.Row
    return connection


with connect() as first:
    first.execute("create table items (id integer primary key, name text)")


with open("shops.txt", "w") as shops:
    shops.write(f"shop {random.random()}\\n")


def named(row, shops):
    shop = shops.readline()
    return {"id": row["id"], "name": row["name"], "shop": shop}


@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def items(path):
    now = time.time()
    connection = connect()
    if request.method == "POST":
        connection.execute("insert into items (name) values (?)", (f"item {random.random()}",))
        connection.commit()
    rows = connection.execute("select * from items order by id").fetchall()
    found = []
    for row in rows:
        shops = open("shops.txt")
        found.append(named(row, shops))
        shops.close()
    connection.close()
    return jsonify(id=1, items=found, count=len(found), at=now), 201


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def shop(bench: Bench) -> Bench:
    """Return a bench with a recording of a shop, at concurrency 4."""
    bench.script(SHOP)
    code, out, err = run(bench.path, "record", "serve.py", "--scenario", "mixed", "-c", "4", "-n", "2")
    assert code == 0, (out, err)
    return bench


@pytest.fixture
def debug(shop: Bench) -> Iterator[Callable[..., Typed]]:
    """Return a function that starts ``loadgen debug`` with options, in a terminal."""
    started = []

    def start(*words: str) -> Typed:
        started.append(Typed(shop.path, "debug", *words))
        return started[-1]

    yield start
    for one in started:
        one.close()


def edited(debug: Callable[..., Typed]) -> tuple[Typed, Editor]:
    """Debug a request with an editor."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return debug("--request", "9", "--dap", str(port)), Editor(port)


def test_a_session_sees_what_was_recorded(shop: Bench, debug: Callable[..., Typed]) -> None:
    """Lines, values, rows, clock and calls are those of the recording, and ``back`` goes back.

    The replay that was stopped and stepped is identical in the end, and leaves no verdict.
    """
    person = debug("--request", "9")
    assert "request 9  " in person.until(PROMPT)
    person.type("next")
    now = float(person.type("p now"))
    assert float(person.type("p time.time()")) == now
    person.type("b named")
    assert "named()" in person.type("c")
    assert "nothing seen of it yet" in person.type("p shops")
    assert "has not asked" in person.type("shops.readline()")
    assert person.type("p row['name']").startswith("'item 0.")
    person.type("n")
    line = person.type("p shop").strip()
    assert f"readline() = {line}" in person.type("p shops")
    assert person.type("p shops.readline()").strip() == line
    assert "time.time() = " in person.type("calls all")
    assert "-> shop = shops.readline()" in person.type("back")
    person.type("up")
    assert float(person.type("p now")) == now
    person.type("clear 1")
    person.press("c\n")
    code, said = person.end()
    assert (code, "IDENTICAL" in said) == (0, True), person.all
    assert not (shop.path / "runs" / "latest" / "verify").exists()


def test_an_editor_sees_what_was_recorded(shop: Bench, debug: Callable[..., Typed]) -> None:
    """By the adapter for editors: lines, variables and values are those of the recording."""
    person, editor = edited(debug)
    named = SHOP.splitlines().index("    shop = shops.readline()") + 1
    editor.attach({str(shop.path / "serve.py"): [named]})
    thread, frame = editor.stopped()
    assert frame["name"] == "items"
    editor.ask("next", threadId=thread)
    thread, frame = editor.stopped()
    now = float(editor.variables(frame)["now"])
    assert float(editor.evaluate("time.time()", frame)) == now
    editor.ask("continue", threadId=thread)
    thread, frame = editor.stopped()
    assert (frame["name"], frame["line"]) == ("named", named)
    editor.ask("next", threadId=thread)
    thread, frame = editor.stopped()
    seen = editor.variables(frame)
    assert f"readline() = {seen['shop']}" in seen["shops"]
    assert editor.evaluate("row['name']", frame).startswith("'item 0.")
    editor.ask("setBreakpoints", source={"path": str(shop.path / "serve.py")}, breakpoints=[])
    editor.ask("continue", threadId=thread)
    code, said = person.end()
    editor.close()
    assert (code, "IDENTICAL" in said) == (0, True), person.all


@pytest.mark.once
def test_an_editor_stops_in_its_request_only(shop: Bench, debug: Callable[..., Typed]) -> None:
    """Other requests, those that run when it attaches and those that begin later, pass its breakpoints."""
    person, editor = edited(debug)
    in_all = [
        SHOP.splitlines().index(line) + 1
        for line in (
            '    rows = connection.execute("select * from items order by id").fetchall()',
            "    connection.close()",
        )
    ]
    editor.attach({str(shop.path / "serve.py"): in_all})
    stops = []
    with suppress(EOFError):
        while True:
            stops.append(editor.stopped())
            editor.ask("continue", threadId=stops[-1][0])
    editor.close()
    assert (person.end()[0], "IDENTICAL" in person.all) == (0, True), person.all
    assert [frame["line"] for _, frame in stops][1:] == in_all
    assert len({thread for thread, _ in stops}) == 1


@pytest.mark.once
def test_it_stops_where_a_request_leaves_the_tape(shop: Bench, debug: Callable[..., Typed]) -> None:
    """``--left`` stops in the call that was not recorded, and goes back into the same request from there."""
    bench_code = SHOP.replace("order by id", "order by name")
    shop.script(bench_code)
    person = debug("--left")
    said = person.until(PROMPT)
    assert "leaves the tape here: the recording has no answer to" in said
    assert '-> rows = connection.execute("select * from items order by name")' in said
    now = float(person.type("p now"))
    assert "order by name" in person.type("back")
    assert float(person.type("p now")) == now
    assert "leaves the tape here" in person.type("n")
    person.press("q\n")
    assert person.end()[0] == 0


@pytest.mark.once
def test_ctrl_c_stops_a_request_that_runs(shop: Bench, debug: Callable[..., Typed]) -> None:
    """A request that would run forever is stopped at its line; Ctrl-C at the prompt drops what was typed."""
    # One at a time: another request that runs forever before the followed one would never end.
    code, out, err = run(shop.path, "record", "serve.py", "--scenario", "mixed", "-c", "1", "-n", "1")
    assert code == 0, (out, err)
    shop.script(SHOP.replace("    now = time.time()", "    now = time.time()\n    while now: pass"))
    person = debug("--request", "1")
    person.until(PROMPT)
    person.type("next")
    said = ""
    while "-> while now: pass" not in said:  # Ctrl-C may come before the line is read, and drop it
        person.press("c\n")
        person.until("c\n")
        person.interrupt()
        said = person.until(PROMPT)
    person.press("half a line")
    person.until("half a line")
    person.interrupt()
    assert "KeyboardInterrupt" in person.until(PROMPT)
    assert float(person.type("p now"))
    person.press("q\n")
    assert person.end()[0] == 0
