"""A client that gives up or leaves, and an answer that breaks off, are outcomes like any other."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from loadgen import protocol
from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement

if TYPE_CHECKING:
    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

SERVER = """
    import itertools, time
    from flask import Flask, Response, jsonify

    app = Flask(__name__)
    numbers = itertools.count()

    @app.get("/slow/<float:seconds>")
    def slow(seconds):
        for _ in range(int(seconds * 20)):
            time.sleep(0.05)
        return jsonify(next(numbers), time.time())

    @app.get("/ticks")
    def ticks():
        def pieces():
            for number in range(1000):
                time.sleep(0.02)
                yield f"{number} {time.time_ns()} "
        return Response(pieces(), mimetype="text/plain")

    @app.get("/status/<int:status>")
    def status(status):
        return Response(b"", status)

    @app.get("/short")
    def short():
        return Response(iter([f"{time.time()}"]), headers={"Content-Length": "100"})
"""


async def one_of_each(user: User) -> None:
    """Be answered; give up before and in the middle of an answer; leave; get half of one, and none at all."""
    http = user.http
    await http.get("/slow/0.0")
    for path, limit in (("/slow/1.0", 0.3), ("/ticks", 2.0), ("/slow/60.0", 0.3)):
        with pytest.raises(httpx.ReadTimeout):
            await http.get(path, timeout=limit)  # of the ticks, some come on any machine
    async with http.stream("GET", "/ticks") as answer:
        pieces = answer.aiter_raw()
        for _ in range(5):
            await anext(pieces)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/short")
    with pytest.raises(httpx.TransportError):  # a status that announces another one, which never comes
        await http.get("/status/103", timeout=0.5)
    await http.get("/slow/0.0")


GIVING_UP = Scenario("giving up", "gives up", one_of_each)
KINDS = {"ReadTimeout": 9, "ClientLeft": 3, "RemoteProtocolError": 3}
COMMANDS = (
    "flask --app outcomes:app run",
    "waitress-serve --threads 20 outcomes:app",
    "gunicorn --worker-class gthread --threads 20 outcomes:app",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_all_of_them_are_compared(bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """What came, and what the server did until then; a change of either is seen, at its request."""
    monkeypatch.chdir(bench.path)
    bench.script(SERVER, "outcomes.py")
    recorded = bench.record(command.split(), GIVING_UP, concurrency=3, iterations=1)
    assert not recorded.end.failed, recorded.end.errors
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
    no_answer = "ReadTimeout" if "gunicorn" in command else "RemoteProtocolError"  # others close behind it
    assert verdict.unanswered == {**KINDS, no_answer: KINDS[no_answer] + 3}
    assert (verdict.compared, verdict.answers_compared) == (24, 6)
    bench.script(SERVER.replace("{number} {time", "{number}, {time"), "outcomes.py")
    for strict in (True, False):
        changed = bench.verify(strict=strict).verdict
        assert changed.judgement is Judgement.DIVERGED, changed.reasons
        assert {one.target for one in changed.divergences} == {"/ticks"}
        assert changed.diverged == 6


def test_nothing_that_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody got anything, that is said; and no server that is still busy holds up the recording."""
    monkeypatch.chdir(bench.path)
    bench.script(SERVER, "outcomes.py")

    async def in_vain(user: User) -> None:
        with suppress(httpx.ReadTimeout):
            await user.http.get("/slow/60.0", timeout=0.3)

    vain = Scenario("vain", "waits", in_vain)
    bench.record(["gunicorn", "outcomes:app"], vain, concurrency=3, iterations=1)
    verdict = bench.verify().verdict
    assert verdict.judgement is Judgement.UNDETERMINED
    assert [one.code for one in verdict.reasons] == [protocol.NOTHING_RECORDED]
