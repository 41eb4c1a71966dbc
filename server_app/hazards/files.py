"""What lies on a disk: files, directories, temporary files, subprocesses, SQLite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flask import request

from server_app.hazards.registry import hazard

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = Path(os.environ.get("DB_FILE") or "app.db")
WORK = DATABASE.parent
DATE = ["date", "+%N"]


def _number() -> str:
    """Return what tells a request from all others: its virtual user and turn."""
    return f"{request.args.get('user', 0, int)}-{request.args.get('turn', 0, int)}"


@contextmanager
def _connected(timeout: float = 30) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=timeout, isolation_level=None)) as connection:
        yield connection


def _make_tables() -> None:
    with _connected() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY AUTOINCREMENT, name, at REAL)"
        )
        connection.execute("DELETE FROM rows")


def _through(path: Path) -> object:
    """Write a file, and return what it holds, when it was written, and its number."""
    path.write_text(f"{time.time()}")
    found = [path.read_text(), path.stat().st_mtime_ns, path.stat().st_ino]
    path.unlink()
    return found


@hazard()
def file_in_tmp() -> object:
    """A file under ``/tmp``, beside the database: written, read back, and its times."""
    return _through(WORK / f"file-{_number()}")


@hazard()
def file_outside_tmp() -> object:
    """The same in the working directory."""
    return _through(Path(f".server_app-{os.getpid()}-{_number()}"))


@hazard()
def file_shared() -> object:
    """A log under ``/tmp`` that all requests append to, and read."""
    path = WORK / "shared.log"
    with path.open("a") as file:
        file.write(f"{_number()} {time.time()}\n")
    return path.read_text().splitlines()[-3:]


@hazard()
def file_descriptor() -> object:
    """A file by its descriptor: ``os.open``, ``write``, ``lseek``, ``read``."""
    path = WORK / f"descriptor-{_number()}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(file, b"%d" % time.time_ns())
    os.lseek(file, 0, os.SEEK_SET)
    found = os.read(file, 50).decode()
    os.close(file)
    path.unlink()
    return found


@hazard()
def device_file() -> object:
    """``/dev/urandom`` and ``/proc``, read as files."""
    with open("/dev/urandom", "rb") as device:  # noqa: PTH123 - as people write it
        drawn = device.read(8).hex()
    return [drawn, Path("/proc/uptime").read_text(), Path("/proc/self/stat").read_text()[:20]]


@hazard()
def temporary_file() -> object:
    """``tempfile.NamedTemporaryFile``: its random name, and content."""
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write(f"{time.time()}")
        file.seek(0)
        return [file.name, file.read()]


@hazard()
def temporary_directory() -> object:
    """``tempfile.TemporaryDirectory``: its random name, and content."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "hazard").write_text(f"{time.time()}")
        return [name, [path.name for path in Path(name).iterdir()]]


@hazard()
def temporary_in_memory() -> object:
    """``tempfile.SpooledTemporaryFile``, which moves to a disk when it grows."""
    with tempfile.SpooledTemporaryFile(max_size=10, mode="w+") as file:
        file.write(f"{time.time()}")
        file.seek(0)
        return file.read()


@hazard()
def directory_order() -> object:
    """The order of a directory in which all requests make files: ``listdir``, ``scandir``, ``glob``."""
    folder = WORK / "directory"
    folder.mkdir(exist_ok=True)
    (folder / _number()).touch()
    with os.scandir(folder) as entries:
        scanned = [entry.name for entry in entries]
    return [os.listdir(folder), scanned, [path.name for path in folder.glob("*")]]  # noqa: PTH208


@hazard()
def subprocess_run() -> object:
    """``subprocess.run`` and ``check_output``, through a shell too."""
    return [
        subprocess.run(DATE, capture_output=True, text=True, check=True).stdout,  # noqa: S603
        subprocess.check_output("date +%N; echo $$", shell=True, text=True),  # noqa: S602, S607
    ]


@hazard()
def subprocess_pipes() -> object:
    """``subprocess.Popen`` that is written to and read from, and ``os.popen``."""
    command = ["/bin/sh", "-c", "read x; echo got $x $(date +%N)"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        told = process.communicate("it\n")[0]
    with os.popen("date +%N") as pipe:  # noqa: S605, S607
        return [told, process.returncode, pipe.read()]


@hazard()
def subprocess_asyncio() -> object:
    """``asyncio.create_subprocess_exec`` in a loop of the request's own."""

    async def run() -> str:
        process = await asyncio.create_subprocess_exec(*DATE, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0].decode()

    return asyncio.run(run())


@hazard(start=_make_tables)
def sqlite_autoincrement() -> object:
    """The id that SQLite gives a new row, and the row."""
    with _connected() as connection:
        cursor = connection.execute("INSERT INTO rows (name, at) VALUES (?, ?)", (_number(), time.time()))
        return connection.execute("SELECT * FROM rows WHERE id = ?", (cursor.lastrowid,)).fetchone()


@hazard(start=_make_tables)
def sqlite_contention() -> object:
    """Writers that do not wait for each other: who is told that the database is locked."""
    with _connected(timeout=0) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            (count,) = connection.execute("SELECT count(*) FROM rows").fetchone()
            time.sleep(0.002)
            connection.execute("INSERT INTO rows (name) VALUES (?)", (_number(),))
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            return [str(error), time.time()]
        return [count, time.time()]


@hazard(start=_make_tables)
def sqlite_iteration() -> object:
    """Rows that a cursor yields while other requests insert some, a few at a time."""
    found = []
    with _connected() as connection:
        connection.executemany("INSERT INTO rows (name, at) VALUES (?, ?)", [(_number(), time.time())] * 2)
        for row in connection.execute("SELECT id, name, at FROM rows ORDER BY id DESC LIMIT 5"):
            found.append(row)  # noqa: PERF402 - step by step
    return found


@hazard(start=_make_tables)
def sqlite_callbacks() -> object:
    """Python that SQLite calls back: ``row_factory``, ``create_function``, ``sqlite3.Row``."""
    with _connected() as connection:
        connection.row_factory = lambda _, row: {"values": row}
        connection.create_function("stamped", 1, lambda value: f"{value} at {time.time()}")
        stamped = connection.execute("SELECT stamped(count(*)) FROM rows").fetchone()
        connection.row_factory = sqlite3.Row
        return [stamped, dict(connection.execute("SELECT random() AS number").fetchone())]
