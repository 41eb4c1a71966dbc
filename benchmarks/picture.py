"""Make the picture on the README's first screen, docs/terminal.svg, from what commands print in a terminal.

Records and verifies a small server, changes one of its answers and verifies again, each command in a terminal
of its own (a pty). Some lines are left out, such as those with names of folders; none is changed.

    python benchmarks/picture.py
"""

import io
import os
import pty
import re
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "terminal.svg"
WIDTH = 104
SERVER = """
import sqlite3
import time
from os import environ

from flask import Flask

app = Flask(__name__)


def database():
    connection = sqlite3.connect(environ["DB_FILE"], timeout=20)
    connection.execute("create table if not exists orders (id integer primary key, at real)")
    return connection


@app.get("/orders")
def orders():
    with database() as connection:
        connection.execute("insert into orders (at) values (?)", (time.time(),))
        count, last = connection.execute("select count(*), max(at) from orders").fetchone()
    return {"orders": count, "last": last}


@app.get("/state")
def state():
    return {"state": "ok", "at": time.time()}


if __name__ == "__main__":
    app.run()
"""


def shown(folder: Path, *words: str) -> str:
    """Run ``loadgen`` with *words* in a terminal, and return what it showed."""
    said = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 1 << 16)
        said.extend(data)
        return b""

    os.environ |= {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    here = Path.cwd()
    os.chdir(folder)
    pty.spawn([sys.executable, "-m", "loadgen", *words, "--quiet"], read, lambda _: b"")
    os.chdir(here)
    return said.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the commands, and write the picture."""
    folder = Path(tempfile.mkdtemp(prefix="picture-"))
    script = folder / "shop.py"
    script.write_text(SERVER)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for title, words, lines in (
        ("loadgen record shop.py -c 8", ("record", "shop.py", "-c", "8"), ("recorded", "speed", "answers")),
        ("loadgen verify", ("verify",), ("IDENTICAL", "compared", "order")),
        ('sed -i \'s/"ok"/"fine"/\' shop.py && loadgen verify', ("verify",), ()),
    ):
        if "sed" in title:
            script.write_text(SERVER.replace('"ok"', '"fine"'))
        console.print(Text.assemble(("$ ", "bold green"), (title, "bold")))
        plain = re.compile("\x1b\\[[0-9;]*m")
        for line in shown(folder, *words).rstrip().split("\n"):
            text = plain.sub("", line)
            dropped = text.startswith(
                ("debug:", "run  ", "evidence", "database", "threads", "took", "at fault")
            )
            if not dropped and (not lines or text.startswith(lines)):
                console.print(Text.from_ansi(line))
        console.print()
    console.save_svg(str(OUT), title="loadgen")
    shutil.rmtree(folder)
    print(OUT.relative_to(ROOT), OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
