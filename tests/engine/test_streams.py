"""The application notices a client that leaves a stream, or reads it slowly, as it does unrecorded."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.scenario import Scenario
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

APPLICATION = """
    import threading, time
    from flask import Flask, Response, jsonify

    app = Flask(__name__)
    closed, made = [], [0]
    told = threading.Event()

    @app.get("/endless")
    def endless():
        def pieces():
            number = 0
            try:
                while True:
                    yield f"{number} {time.time_ns()}\\n"
                    number += 1
                    time.sleep(0.01)
            finally:
                closed.append(number)
        return Response(pieces(), mimetype="text/plain")

    @app.get("/fast")
    def fast():
        def pieces():
            while made[0] < 500:
                made[0] += 1
                yield bytes(1 << 20)
        return Response(pieces())

    @app.get("/seen")
    def seen():
        return jsonify(closed, made)

    @app.get("/first")
    def first():
        def pieces():
            yield "begin"
            told.wait(20)
            yield "end"
        return Response(pieces())

    @app.get("/second")
    def second():
        told.set()
        return "told"
"""
COMMANDS = (
    "flask --app streaming:app run",
    "waitress-serve streaming:app",
    "gunicorn --worker-class gthread --threads 9 streaming:app",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_client_that_leaves(bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The generator is closed, and closed after as many pieces in a replay."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION, "streaming.py")
    closed = []

    async def leave(user: User) -> None:
        with anyio.move_on_after(0.5 + user.id / 20):
            await user.http.get("/endless")
        for _ in range(100):
            seen = (await user.http.get("/seen")).json()[0]
            if len(seen) == user.of:
                break
            await anyio.sleep(0.1)
        closed.append(seen)

    bench.record(command.split(), Scenario("leaving", "leaves", leave), concurrency=4, iterations=1)
    assert {len(seen) for seen in closed} == {4}
    verdict = bench.verify().verdict
    assert not verdict.divergences
    assert verdict.order is None
    assert verdict.compared >= verdict.requests - 4


def test_back_pressure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads is not made: the application waits for its client."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION, "streaming.py")
    made = []

    async def dawdle(user: User) -> None:
        port = user.http.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /fast HTTP/1.1\r\nHost: here\r\nX-Loadgen-Seq: 1000\r\n\r\n")
            await anyio.sleep(2)
            made.append((await user.http.get("/seen")).json()[1][0])

    command = ["flask", "--app", "streaming:app", "run"]
    bench.record(command, Scenario("dawdling", "reads nothing", dawdle), concurrency=1, iterations=1)
    assert 0 < made[0] < 100


def test_a_piece_comes_when_it_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that answers the first piece of a stream by another request is not kept waiting for it."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION, "streaming.py")
    pieces = []

    async def answer(user: User) -> None:
        port = user.http.base_url.port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /first HTTP/1.1\r\nHost: here\r\nX-Loadgen-Seq: 1000\r\n\r\n")
            data = b""
            while b"begin" not in data:
                data += await anyio.to_thread.run_sync(connection.recv, 1 << 16)
            await user.http.get("/second")
            while b"end" not in data:
                data += await anyio.to_thread.run_sync(connection.recv, 1 << 16)
            pieces.append(data)

    command = ["flask", "--app", "streaming:app", "run"]
    bench.record(command, Scenario("answering", "answers", answer), concurrency=1, iterations=1)
    assert len(pieces) == 1


def test_streams_that_are_read_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody leaving, each piece is compared."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION.replace("while True:", "while number < 20:"), "streaming.py")
    bench.record(["waitress-serve", "streaming:app"], visiting("/endless", "/seen"), iterations=2)
    assert bench.verify().verdict.judgement.value == "identical"
