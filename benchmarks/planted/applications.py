"""Planted races. Each is a body of a Flask application, where ``GUARD`` is replaced.

In the racy one ``with GUARD:`` guards nothing, in its fixed twin it is a lock: the same lines and steps.
``FIRST`` and ``SECOND`` are two locks, which the twin takes in the same order. A trial's users call the paths
in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.core.spec import InvariantSpec

HEAD = """
import json, os, shutil, sqlite3, threading
from contextlib import nullcontext
from flask import Flask

app = Flask(__name__)
lock, other = threading.RLock(), threading.RLock()
shutil.rmtree("data", ignore_errors=True)  # all trials of a hunt have the same working directory
os.makedirs("data")


def connect():
    return sqlite3.connect(os.environ["DB_FILE"], timeout=30, isolation_level=None)

"""
TAIL = """

if __name__ == "__main__":
    app.run()
"""


NOTHING = InvariantSpec()


@dataclass(frozen=True, slots=True)
class Planted:
    """One race."""

    name: str
    code: str
    calls: tuple[str, ...]
    """``METHOD /path``; each user makes them in turn, beginning at its own number."""
    invariants: InvariantSpec = NOTHING
    """As for ``loadgen races``; an answer 5xx is broken anyway."""
    crosswise: bool = False
    """Whether the twin differs in the order of two locks."""

    def source(self, *, fixed: bool) -> str:
        """Return the application."""
        code = self.code.replace("GUARD", "lock" if fixed or self.crosswise else "nullcontext()")
        first, second = ("lock", "other") if fixed else ("other", "lock")
        return HEAD + code.replace("FIRST", first).replace("SECOND", second) + TAIL

    def scenario(self) -> str:
        """Return the scenario file."""
        return (
            "from loadgen import User, scenario\n\n"
            f"CALLS = {list(self.calls)!r}\n\n"
            "@scenario\n"
            "async def go(user: User):\n"
            '    at = user.data["at"] = user.data.get("at", user.id - 1) + 1\n'
            '    method, path = CALLS[at % len(CALLS)].replace("USER", str(user.id)).split()\n'
            "    await user.http.request(method, path)\n"
        )


ID = InvariantSpec(unique=("json:$.id",))
SUM = InvariantSpec(conserved=("json:$.sum",))

PLANTED = (
    Planted("counter", """
total = 0

@app.post("/id")
def new():
    global total
    with GUARD:
        seen = total
        total = seen + 1
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("one-line", """
total = [0]

@app.post("/id")
def new():
    with GUARD:
        total[0] += 1
        return {"id": total[0]}
""", ("POST /id",), ID),
    Planted("call-between", """
state = {"n": 0}

@app.post("/id")
def new():
    with GUARD:
        seen = state.get("n")
        state.update(n=max(seen + 1, 0))
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("register", """
users = {}

@app.post("/register")
def register():
    with GUARD:
        if "ann" in users:
            return {"taken": True}
        users["ann"] = len(users)
        return {"id": "ann"}
""", ("POST /register",), ID),
    Planted("sqlite-update", """
connect().execute("create table counter (n integer)")
connect().execute("insert into counter values (0)")

@app.post("/id")
def new():
    with GUARD:
        database = connect()
        seen = database.execute("select n from counter").fetchone()[0]
        database.execute("update counter set n = ?", (seen + 1,))
        database.close()
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("double-spend", """
balance = {"a": 10}
spent = []

@app.post("/spend")
def spend():
    with GUARD:
        if balance["a"] < 10:
            return {"refused": True}
        spent.append(1)
        balance["a"] -= 10
        return {"id": "the ten"}
""", ("POST /spend",), ID),
    Planted("lazy", """
made = []
client = None

def get_client():
    global client
    if client is None:
        made.append(1)
        client = len(made)
    return client

@app.post("/send")
def send():
    with GUARD:
        return {"client": get_client()}
""", ("POST /send",), InvariantSpec(conserved=("json:$.client",))),
    Planted("lock-order", """
@app.get("/there")
def there():
    with lock:
        with other:
            return {}

@app.get("/back")
def back():
    with FIRST:
        with SECOND:
            return {}
""", ("GET /there", "GET /back"), crosswise=True),
    Planted("dict-iterated", """
sessions = {}
count = 0

@app.post("/login/<name>")
def login(name):
    global count
    with GUARD:
        count += 1
        sessions[name + str(count)] = 1
        return {}

@app.get("/sessions")
def listing():
    found = 0
    with GUARD:
        for name in sessions:
            found += len(name)
        return {"found": found}
""", ("POST /login/USER", "GET /sessions")),
    Planted("file-check-then-act", """
@app.post("/claim")
def claim():
    with GUARD:
        if os.path.exists("data/claimed"):
            return {"taken": True}
        with open("data/claimed", "w") as file:
            file.write("1")
        return {"id": "claim"}
""", ("POST /claim",), ID),
    Planted("session-store", """
sessions = {"ann": {"visits": 0}}

@app.post("/visit")
def visit():
    with GUARD:
        session = dict(sessions["ann"])
        session["visits"] += 1
        sessions["ann"] = session
        return {"id": session["visits"]}
""", ("POST /visit",), ID),
    Planted("orm", """
class Row:
    def __init__(self, database):
        self.database = database
        self.stock = database.execute("select stock from item").fetchone()[0]
    def save(self):
        self.database.execute("update item set stock = ?", (self.stock,))

connect().execute("create table item (stock integer)")
connect().execute("insert into item values (100)")

@app.post("/sell")
def sell():
    with GUARD:
        row = Row(connect())
        row.stock -= 1
        row.save()
        return {"id": row.stock}
""", ("POST /sell",), ID),
    Planted("pool", """
free, numbers = [], [0]

@app.post("/borrow")
def borrow():
    with GUARD:
        if not free:
            numbers[0] = numbers[0] + 1
            free.append(numbers[0])
        connection = free[-1]
        del free[-1:]
        return {"id": connection}
""", ("POST /borrow",), ID),
    Planted("template-cache", """
cache, versions = {}, [0]

def render():
    page = cache.get("page")
    if page is None:
        versions[0] += 1
        page = versions[0]
        cache["page"] = page
    return page

@app.get("/page")
def page():
    with GUARD:
        return {"version": render()}
""", ("GET /page",), InvariantSpec(conserved=("json:$.version",))),
    Planted("double-checked", """
settings = None

def get_settings():
    global settings
    if settings is None:
        with lock:
            if settings is None:
                settings = {}
                settings["limit"] = 10
    return settings["limit"]

@app.get("/limit")
def limit():
    with GUARD:
        return {"limit": get_settings()}
""", ("GET /limit",)),
    Planted("rename", """
with open("data/page.json", "w") as made:
    made.write('{"version": 0}')

@app.put("/page")
def write():
    with GUARD:
        with open("data/page.json", "w") as file:
            file.write('{"version": 1}')
        return {}

@app.get("/page")
def read():
    with GUARD:
        with open("data/page.json") as file:
            return json.loads(file.read())
""", ("PUT /page", "GET /page")),
    Planted("two-tables", """
connect().execute("create table a (n integer)")
connect().execute("create table b (n integer)")
connect().execute("insert into a values (100)")
connect().execute("insert into b values (0)")

@app.post("/move")
def move():
    with GUARD:
        database = connect()
        database.execute("update a set n = n - 1")
        database.execute("update b set n = n + 1")
        database.close()
        return {}

@app.get("/sum")
def total():
    with GUARD:
        database = connect()
        first = database.execute("select n from a").fetchone()[0]
        second = database.execute("select n from b").fetchone()[0]
        database.close()
        return {"sum": first + second}
""", ("POST /move", "GET /sum"), SUM),
)  # fmt: skip
