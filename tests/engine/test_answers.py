"""Recording changes no answer: each server, started normally and recorded, sends the same bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client.scenario import Scenario
from loadgen.core.verdict import Judgement
from tests.engine.conformance import (
    APPLICATION,
    COMMANDS,
    INPUTS,
    KEPT,
    REQUESTS,
    SERVERS,
    SERVING,
    answer,
    ending,
    numbered,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadgen.client.scenario import User
    from tests.engine.conftest import Bench

pytestmark = [pytest.mark.engine, pytest.mark.once]

FIRST = 1_000
"""Number of the first raw request, which no transcript has."""


@pytest.fixture
def conforming(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench in whose directory the application is."""
    monkeypatch.chdir(bench.path)
    bench.script(APPLICATION, "conforming.py")
    bench.script(SERVING, "serving.py")
    (bench.path / "static").mkdir()
    (bench.path / "static" / "data.bin").write_bytes(bytes(range(256)) * 40)
    return bench


@pytest.mark.parametrize("server", SERVERS)
def test_recording_changes_no_answer(conforming: Bench, server: str) -> None:
    """Byte by byte, but for the date, and for what says that loadgen was there."""
    plainly, recorded = COMMANDS[server]
    requests = ending({**REQUESTS, **INPUTS, **KEPT}, server)
    with plain(plainly, conforming.path) as port:
        expected = {name: answer(port, data) for name, data in requests.items()}
    answers = {}

    async def ask(user: User) -> None:
        port = user.http.base_url.port
        assert port
        for number, (name, data) in enumerate(requests.items(), FIRST):
            answers[name] = await anyio.to_thread.run_sync(answer, port, numbered(data, number))
        await user.http.get("/echo")

    plan = Scenario("raw", "sends raw bytes", ask)
    conforming.record(recorded.split(), plan, concurrency=1, iterations=1)
    different = {
        name: (repr(expected[name])[:600], repr(answers[name])[:600])
        for name in requests
        if answers[name] != expected[name]
    }
    assert not different, "\n".join(f"{name}\n  {one}\n  {two}" for name, (one, two) in different.items())


def parsed(data: bytes) -> httpx.Request | None:
    """Return the request that *data* is for a client that sends no other than well-formed ones."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or not all(b": " in one for one in lines):
        return None
    headers = [(name, value) for name, _, value in (one.partition(b": ") for one in lines)]
    if any(name.lower() in {b"transfer-encoding", b"content-length"} for name, _ in headers):
        return None
    return httpx.Request(
        words[0].decode(),
        "http://conforming",
        headers=[*headers, *([(b"Content-Length", b"%d" % len(body))] if body else [])],
        stream=httpx.ByteStream(body),
        extensions={"target": words[1]},
    )


async def chunks() -> AsyncIterator[bytes]:
    """Yield a body without a length."""
    yield b"some "
    yield b"bytes\n"


@pytest.mark.parametrize("server", SERVERS)
def test_each_answer_is_compared(conforming: Bench, server: str) -> None:
    """What is recorded is verified, with what the HTTP server answers itself, and with eight at a time."""

    async def ask(user: User) -> None:
        for data in ending(REQUESTS, server, half_closed=False).values():
            if (wanted := parsed(data)) is not None:
                wanted.url = wanted.url.copy_with(host=user.http.base_url.host, port=user.http.base_url.port)
                with suppress(httpx.TransportError):  # an answer that breaks off
                    await user.http.send(wanted)
        for how in ("asked", "some", "line", "unread"):
            await user.http.post(f"/raw/input-{how}", content=chunks())
            await user.http.post(f"/raw/input-{how}", content=b"a line\n", headers={"Content-Length": "+7"})
        await user.http.post("/echo", content=chunks())

    plan = Scenario("conforming", "sends what a client can", ask)
    recorded = conforming.record(COMMANDS[server][1].split(), plan, concurrency=8, iterations=1)
    assert not recorded.end.failed, recorded.end.errors
    verdict = conforming.verify().verdict
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:3]
    assert set(verdict.unanswered) <= {"RemoteProtocolError", "ReadError"}
    # what wsgiref sends ends with its connection: nothing breaks off
    assert sum(verdict.unanswered.values()) >= 8 or server == "wsgiref"
    # these refuse nothing of what this client sends
    assert verdict.before_application > 0 or server in {"waitress", "wsgiref"}
