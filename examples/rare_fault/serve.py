"""A small shop with a planted fault: rare, and only where two requests overlap.

While an item is being reserved, a second reservation of the same item is told to wait, with a ticket. The
ticket is the address of an object, which is another one in each process. Nothing else here is unusual, so a
replay is identical for hundreds of requests: until two customers want the same thing at the same time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from flask import Flask, jsonify, request

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

app = Flask(__name__)
busy: dict[int, object] = {}
"""What is being reserved, by item."""
lock = threading.Lock()


def connect() -> sqlite3.Connection:
    """Open the database."""
    database = sqlite3.connect(os.environ["DB_FILE"], timeout=30)
    database.row_factory = sqlite3.Row
    return database


with connect() as setup:
    setup.execute("create table items (id integer primary key, name text, stock integer)")
    setup.execute("create table notes (id integer primary key, item integer, text text)")


@app.post("/items")
def create_item() -> ResponseReturnValue:
    """Put an item on the shelf."""
    wanted = request.get_json()
    with connect() as database:
        row = database.execute(
            "insert into items (name, stock) values (?, ?)", (wanted["name"], wanted.get("stock", 100))
        )
    return {"id": row.lastrowid, "name": wanted["name"]}, 201


@app.get("/items")
def list_items() -> ResponseReturnValue:
    """List the newest items."""
    rows = connect().execute("select * from items order by id desc limit 20").fetchall()
    return jsonify(items=[dict(row) for row in rows], count=len(rows))


@app.get("/items/<int:item>")
def show_item(item: int) -> ResponseReturnValue:
    """Show one item."""
    row = connect().execute("select * from items where id = ?", (item,)).fetchone()
    return dict(row) if row else ({"error": "no such item"}, 404)


@app.post("/items/<int:item>/notes")
def add_note(item: int) -> ResponseReturnValue:
    """Say something about an item."""
    with connect() as database:
        row = database.execute(
            "insert into notes (item, text) values (?, ?)", (item, request.get_json()["text"])
        )
    return {"id": row.lastrowid, "item": item}, 201


@app.post("/items/<int:item>/reserve")
def reserve(item: int) -> ResponseReturnValue:
    """Take one from the stock; whoever comes while another does so gets a ticket."""
    with lock:
        if item in busy:
            return {"wait": True, "ticket": f"{id(busy[item]):x}"}, 202
        busy[item] = object()
    try:
        with connect() as database:
            stock = database.execute("select stock from items where id = ?", (item,)).fetchone()
            if stock is None or not stock["stock"]:
                return {"error": "nothing left"}, 409
            database.execute("update items set stock = stock - 1 where id = ?", (item,))
        return {"reserved": item, "left": stock["stock"] - 1}
    finally:
        with lock:
            del busy[item]


@app.get("/health")
def health() -> ResponseReturnValue:
    """Say that it serves."""
    return {"status": "ok"}


if __name__ == "__main__":
    app.run()
