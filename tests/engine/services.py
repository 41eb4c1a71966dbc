"""Private instances of services, each with its own folder and port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIMIT = 60.0
"""Seconds that a service may take to start."""

HTTP = """
import itertools, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(ThreadingHTTPServer):
    request_queue_size = 128

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers = itertools.count()

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"{next(self.numbers)} {time.time_ns()} {self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass

Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class Service:
    """A running service."""

    port: int
    processes: list[subprocess.Popen[bytes]]

    def stop(self) -> None:
        """End it; whoever asks it something from then on is refused."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(LIMIT)
        self.processes.clear()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port)).close()


@contextmanager
def http() -> Iterator[Service]:
    """Run an HTTP server, whose answers count and tell the time."""
    port = _free_port()
    with _running([sys.executable, "-c", HTTP, str(port)], port) as service:
        yield service


@contextmanager
def redis() -> Iterator[Service]:
    """Run an empty Redis."""
    command, port = _binary("redis-server"), _free_port()
    with TemporaryDirectory(prefix="loadgen-redis-") as folder:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        with _running([command, *options], port) as service:
            yield service


@contextmanager
def postgres() -> Iterator[Service]:
    """Run an empty PostgreSQL: user and database are ``postgres``, without a password."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    programs = str(found[-1]) if found else ""
    initdb, server = _binary("initdb", programs), _binary("postgres", programs)
    port = _free_port()
    with TemporaryDirectory(prefix="loadgen-postgres-") as folder:
        as_user: dict[str, str] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            as_user = {"user": "postgres", "group": "postgres"}
            shutil.chown(folder, "postgres", "postgres")
        data = f"{folder}/data"
        made = [initdb, "--pgdata", data, "--auth", "trust", "--username", "postgres", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)  # type: ignore[call-overload]
        options = ("-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
        with _running([server, "-D", data, *options], port, as_user, cwd=folder) as service:
            ready = [
                _binary("pg_isready", programs),
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-t",
                str(int(LIMIT)),
                "-q",
            ]
            deadline = time.monotonic() + LIMIT
            while subprocess.run(ready, check=False).returncode and time.monotonic() < deadline:
                time.sleep(0.05)
            yield service


def _binary(name: str, folder: str = "") -> str:
    path = shutil.which(name, path=os.pathsep.join(filter(None, (folder, os.environ["PATH"]))))
    if path is None:
        why = f"there is no {name} here"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}, and CI must have it")
        pytest.skip(why)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _running(
    command: Sequence[str], port: int, options: Mapping[str, str] | None = None, cwd: str | None = None
) -> Iterator[Service]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=cwd, **(options or {}))  # type: ignore[call-overload]
    service = Service(port, [process])
    try:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, f"{command[0]} ended: {process.returncode}"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
        yield service
    finally:
        for one in service.processes:
            one.kill()
            one.wait()
