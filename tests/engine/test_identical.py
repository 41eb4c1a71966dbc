"""A recorded server, replayed, gives exactly the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Judgement
from loadgen.store.run_folder import read_transcript
from tests.engine.conftest import visiting

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("concurrency", "iterations"), [(1, 10), (8, 10), (32, 3)])
def test_bundled_server(bench: Bench, concurrency: int, iterations: int) -> None:
    """Every answer of the bundled server is the same, and so is the order in which it served."""
    recorded = bench.record(concurrency=concurrency, iterations=iterations)
    assert recorded.totals.requests == concurrency * iterations * 5
    assert not set(recorded.totals.statuses) - {200, 201, 400, 404}

    verified = bench.verify()

    assert verified.verdict.judgement is Judgement.IDENTICAL, verified.verdict.to_json()
    assert verified.verdict.compared == recorded.totals.requests
    assert verified.verdict.order_steps == 2 * recorded.totals.requests
    assert not Path(recorded.manifest.result.started.database).exists()
    assert json.loads((verified.folder / "verdict.json").read_text())["verdict"] == "identical"
    with read_transcript(verified.folder / "transcript.jsonl", verified.folder / "bodies") as events:
        assert sum(1 for _ in events) > recorded.totals.requests
    assert events.ended


def test_clients_overlapped(bench: Bench) -> None:
    """What is compared was concurrent for the server: requests entered while others were inside."""
    run = bench.record(concurrency=8).run
    inside = most = 0
    for line in run.transcript.read_text().splitlines():
        event = json.loads(line)
        for step in event.get("steps", ()):
            inside += 1 if step > 0 else -1
            most = max(most, inside)
    assert most > 1


def test_second_verification_is_kept_beside_the_first(bench: Bench) -> None:
    """A run can be verified again at any time, and nothing is overwritten."""
    bench.record(concurrency=2)
    first, second = bench.verify(), bench.verify()
    assert (first.folder.name, second.folder.name) == ("1", "2")
    assert first.verdict.judgement is second.verdict.judgement is Judgement.IDENTICAL


SCRIPT = """
    import os, random, sys, time, uuid
    import helper
    from flask import Flask, Response, jsonify, request, session

    app = Flask(__name__)
    app.secret_key = os.urandom(16)
    seen = {"n": 0}

    @app.get("/all")
    def everything():
        seen["n"] += 1
        session["n"] = seen["n"]
        return jsonify(time=time.time(), rnd=random.random(), uuid=str(uuid.uuid4()), n=seen["n"],
                       host=request.host, peer=request.remote_addr, url=request.url, helper=helper.NAME)

    @app.get("/stream")
    def stream():
        return Response(("%d %f\\n" % (i, time.time()) for i in range(5)), mimetype="text/plain")

    @app.get("/large")
    def large():
        return Response(os.urandom(200_000), mimetype="application/octet-stream")

    @app.get("/broken")
    def broken():
        raise RuntimeError("planned %f" % time.time())

    @app.get("/dated")
    def dated():
        return "own date", 200, {"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "X-At": str(time.time())}

    @app.get("/empty")
    def empty():
        return "", 204

    if __name__ == "__main__":
        app.run(host="0.0.0.0", port=5000, debug=True)
"""
PATHS = ("/all", "/stream", "/large", "/broken", "/dated", "/empty", "/nowhere", "/all?q=%2F+é&x=%41")


@pytest.mark.parametrize("target", ["serve.py", "serve:app"])
def test_users_own_script(bench: Bench, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """A script that calls ``app.run`` (debug, its own port), or ``module:app``, is recorded unchanged."""
    bench.script(SCRIPT)
    bench.script("NAME = 'beside the script'", "helper.py")
    monkeypatch.chdir(bench.path)

    recorded = bench.record(target, visiting(*PATHS), concurrency=8, iterations=3)
    assert recorded.totals.statuses == {200: 5 * 24, 204: 24, 404: 24, 500: 24}
    verified = bench.verify()

    assert verified.verdict.judgement is Judgement.IDENTICAL, verified.verdict.to_json()
    assert len(list((bench.path / "run" / "bodies").iterdir())) == 24, "each large body once"


def test_request_without_a_number(bench: Bench) -> None:
    """A health check is served outside the trace in both phases; any other request is told why it is not."""
    import httpx

    from loadgen.client.scenario import Scenario, User

    answers: list[httpx.Response] = []

    async def run(user: User) -> None:
        async with httpx.AsyncClient(base_url=user.http.base_url, trust_env=False) as outsider:
            answers.append(await outsider.get("/health"))
            answers.append(await outsider.get("/api/users"))
        await user.http.get("/health")
        await user.http.get("/api/users")

    bench.record((), Scenario("outsiders", "", run), concurrency=2, iterations=5)
    verified = bench.verify()

    assert verified.verdict.judgement is Judgement.IDENTICAL
    assert verified.verdict.requests == 20
    health = [answer for answer in answers if answer.url.path == "/health"]
    others = [answer for answer in answers if answer.url.path != "/health"]
    assert [answer.status_code for answer in health] == [200] * 10
    assert [answer.status_code for answer in others] == [409] * 10
    assert "X-Loadgen-Seq" in others[0].text
    assert "/health" in others[0].text
