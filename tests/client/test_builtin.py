"""The built-in scenario for a server of one's own: each path that needs no parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen import protocol
from loadgen.client.builtin import find
from loadgen.client.session import fire
from loadgen.core.stop import Stop
from loadgen.store.journal import Journal
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.events import SessionEnd

pytestmark = pytest.mark.anyio


async def requested(path: Path, routes: list[str]) -> tuple[list[str], SessionEnd]:
    """Return what two users request of a server with *routes*, twice each, and how it ended."""

    async def answer(received: Received) -> bytes | None:
        target = received.target.decode()
        if target == f"{protocol.CONTROL}{protocol.ROUTES}":
            body = json.dumps(routes).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if target == "/slow":
            await anyio.sleep(1)
        return {
            "/closes": None,
            "/breaks-off": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            "/garbage": b"what is this\r\n\r\n",
            "/announces": b"HTTP/1.1 103 Early\r\n\r\n",
            "/fails": b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n",
        }.get(target, OK)

    async with raw_server(answer) as server:
        with Journal(path / "t.jsonl", path / "bodies") as journal, anyio.fail_after(60):
            end = await fire(
                server.url, find("routes"), journal, concurrency=2, iterations=2, seed=1, timeout=0.3,
                stop=Stop(), say=lambda _: None,
            )  # fmt: skip
    targets = [one.target.decode() for one in server.requests]
    return [one for one in targets if not one.startswith(protocol.CONTROL)], end


@pytest.mark.slow
async def test_a_path_without_an_answer_does_not_end_the_list(tmp_path: Path) -> None:
    """Whatever becomes of a request: it is an outcome in the transcript, and the next path is requested."""
    routes = ["/", "/closes", "/breaks-off", "/slow", "/garbage", "/announces", "/fails", "/last"]
    targets, end = await requested(tmp_path, routes)
    assert sorted(targets) == sorted(routes * 4)
    assert (end.failed, end.iterations) == (0, 4)
    transcript = (tmp_path / "t.jsonl").read_text()
    for kind in ("RemoteProtocolError", "ReadTimeout"):
        assert kind in transcript


async def test_a_server_without_such_a_path(tmp_path: Path) -> None:
    """It cannot be used so, and that is said; nothing is requested."""
    targets, end = await requested(tmp_path, [])
    assert targets == []
    assert end.failed == 4
    assert any("no path that needs no parameters" in error for error in end.errors)
