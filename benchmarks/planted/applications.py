"""Planted races. Each is a body of a Flask application, where ``GUARD`` is replaced.

In the racy one ``with GUARD:`` guards nothing, in its fixed twin it is a lock: the same lines and steps.
``FIRST`` and ``SECOND`` are two locks, which the twin takes in the same order. Comments mark the lines that
explain it: where a request may be ``stopped`` for it to break (before the line, in it, or after a call in
it), and what another one may have ``ran`` in between. A trial's users call the paths in turn.
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
        seen = total  # ran
        total = seen + 1  # stopped
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("one-line", """
total = [0]

@app.post("/id")
def new():
    with GUARD:
        total[0] += 1  # stopped, ran
        return {"id": total[0]}  # stopped
""", ("POST /id",), ID),
    Planted("call-between", """
state = {"n": 0}

@app.post("/id")
def new():
    with GUARD:
        seen = state.get("n")  # stopped, ran
        state.update(n=max(seen + 1, 0))  # stopped
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("register", """
users = {}

@app.post("/register")
def register():
    with GUARD:
        if "ann" in users:  # ran
            return {"taken": True}
        users["ann"] = len(users)  # stopped
        return {"id": "ann"}
""", ("POST /register",), ID),
    Planted("sqlite-update", """
connect().execute("create table counter (n integer)")
connect().execute("insert into counter values (0)")

@app.post("/id")
def new():
    with GUARD:
        database = connect()
        seen = database.execute("select n from counter").fetchone()[0]  # stopped, ran
        database.execute("update counter set n = ?", (seen + 1,))  # stopped
        database.close()
        return {"id": seen + 1}
""", ("POST /id",), ID),
    Planted("double-spend", """
balance = {"a": 10}
spent = []

@app.post("/spend")
def spend():
    with GUARD:
        if balance["a"] < 10:  # ran
            return {"refused": True}
        spent.append(1)  # stopped
        balance["a"] -= 10  # stopped
        return {"id": "the ten"}
""", ("POST /spend",), ID),
    Planted("lazy", """
made = []
client = None

def get_client():
    global client
    if client is None:  # ran
        made.append(1)  # stopped
        client = len(made)  # stopped, ran
    return client  # stopped, ran

@app.post("/send")
def send():
    with GUARD:
        return {"client": get_client()}
""", ("POST /send",), InvariantSpec(conserved=("json:$.client",))),
    Planted("lock-order", """
@app.get("/there")
def there():
    with lock:  # stopped, ran
        with other:  # stopped, ran
            return {}

@app.get("/back")
def back():
    with FIRST:  # stopped, ran
        with SECOND:  # stopped, ran
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
        sessions[name + str(count)] = 1  # ran
        return {}

@app.get("/sessions")
def listing():
    found = 0
    with GUARD:
        for name in sessions:  # stopped
            found += len(name)  # stopped
        return {"found": found}
""", ("POST /login/USER", "GET /sessions")),
    Planted("file-check-then-act", """
@app.post("/claim")
def claim():
    with GUARD:
        if os.path.exists("data/claimed"):  # stopped, ran
            return {"taken": True}
        with open("data/claimed", "w") as file:  # stopped
            file.write("1")
        return {"id": "claim"}
""", ("POST /claim",), ID),
    Planted("session-store", """
sessions = {"ann": {"visits": 0}}

@app.post("/visit")
def visit():
    with GUARD:
        session = dict(sessions["ann"])  # ran
        session["visits"] += 1  # stopped
        sessions["ann"] = session  # stopped
        return {"id": session["visits"]}
""", ("POST /visit",), ID),
    Planted("orm", """
class Row:
    def __init__(self, database):
        self.database = database
        self.stock = database.execute("select stock from item").fetchone()[0]  # stopped, ran
    def save(self):
        self.database.execute("update item set stock = ?", (self.stock,))  # stopped

connect().execute("create table item (stock integer)")
connect().execute("insert into item values (100)")

@app.post("/sell")
def sell():
    with GUARD:
        row = Row(connect())
        row.stock -= 1  # stopped
        row.save()  # stopped
        return {"id": row.stock}
""", ("POST /sell",), ID),
    Planted("pool", """
free, numbers = [], [0]

@app.post("/borrow")
def borrow():
    with GUARD:
        if not free:  # ran
            numbers[0] = numbers[0] + 1  # stopped, ran
            free.append(numbers[0])  # stopped, ran
        connection = free[-1]  # stopped, ran
        del free[-1:]  # stopped, ran
        return {"id": connection}
""", ("POST /borrow",), ID),
    Planted("template-cache", """
cache, versions = {}, [0]

def render():
    page = cache.get("page")  # ran
    if page is None:  # stopped, ran
        versions[0] += 1  # stopped, ran
        page = versions[0]  # stopped, ran
        cache["page"] = page  # stopped
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
    if settings is None:  # ran
        with lock:
            if settings is None:  # ran
                settings = {}
                settings["limit"] = 10  # stopped
    return settings["limit"]  # ran

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
        with open("data/page.json", "w") as file:  # stopped
            file.write('{"version": 1}')  # stopped
        return {}

@app.get("/page")
def read():
    with GUARD:
        with open("data/page.json") as file:  # ran
            return json.loads(file.read())  # ran
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
        database.execute("update a set n = n - 1")  # stopped, ran
        database.execute("update b set n = n + 1")  # stopped, ran
        database.close()
        return {}

@app.get("/sum")
def total():
    with GUARD:
        database = connect()
        first = database.execute("select n from a").fetchone()[0]  # stopped, ran
        second = database.execute("select n from b").fetchone()[0]  # stopped, ran
        database.close()
        return {"sum": first + second}
""", ("POST /move", "GET /sum"), SUM),
)  # fmt: skip
