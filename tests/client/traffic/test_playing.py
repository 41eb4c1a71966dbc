"""Sending a file: the wire has the file's requests, and each virtual user sends its part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.session import fire
from loadgen.client.traffic import curl
from loadgen.client.traffic.call import Call
from loadgen.client.traffic.playing import playing
from loadgen.core.stop import Stop
from loadgen.store.journal import Journal
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from tests.client.raw_server import RawServer

pytestmark = pytest.mark.anyio


def commands(path: Path, text: str) -> list[Call]:
    return [call for _, _, call in curl.parse(path / "c", text.encode())[0]]


async def play(path: Path, calls: list[Call], users: int, iterations: int = 1) -> RawServer:
    async def answer(received: Received) -> bytes:
        if received.target == b"/moved":
            return b"HTTP/1.1 302 Found\r\nLocation: /there\r\nSet-Cookie: new=1\r\nContent-Length: 0\r\n\r\n"
        return OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: new=1\r\n\r\n")

    scenario = playing(Path("calls.txt"), calls)
    async with raw_server(answer) as server:
        with Journal(path / "t.jsonl", path / "bodies") as journal, anyio.fail_after(60):
            outcome = await fire(
                server.url, scenario, journal, concurrency=users, iterations=iterations, seed=1, timeout=5,
                stop=Stop(), say=lambda _: None,
            )  # fmt: skip
    assert (outcome.failed, outcome.iterations) == (0, users * iterations)
    assert scenario.requests is not None
    follows = sum(call.redirects is not None for call in calls)
    assert len(server.requests) == (scenario.requests(users) + follows) * iterations
    return server


async def test_what_is_sent_is_what_the_file_has(tmp_path: Path) -> None:
    """Target and body to the byte, the file's headers and cookies, and no others but host and length."""
    source = """curl 'http://h/a/../b%2f?q=[1]' -g --path-as-is -b old=1 \\
          -H 'X-A: é' -H 'User-Agent: me' --data-raw 'ü'
        curl http://h/ -X post"""
    server = await play(tmp_path, commands(tmp_path, source), 1)
    sent, then = server.requests
    assert then.first_line == b"post / HTTP/1.1"
    assert sent.first_line == b"POST /a/../b%2f?q=[1] HTTP/1.1"
    lines = sent.head.decode("utf-8").split("\r\n")[1:]
    names = [line.partition(":")[0] for line in lines if line]
    assert sorted(names) == sorted(
        ["Host", "Accept", "Content-Type", "Cookie", "X-A", "User-Agent", "Content-Length", "X-Loadgen-Seq"]
    )
    assert "Cookie: old=1" in lines
    assert "X-A: é" in lines
    assert f"Host: {server.url.removeprefix('http://')}" in lines
    assert sent.body == "ü".encode()
    assert b"Cookie" not in then.head, "a cookie of an answer was sent, which the file has not"


async def test_redirects_are_followed_where_the_command_says_so(tmp_path: Path) -> None:
    """With -L the redirect is a request of its own; without it is not followed."""
    calls = commands(tmp_path, "curl http://h/moved\ncurl -L http://h/moved")
    server = await play(tmp_path, calls, 1)
    assert [one.target for one in server.requests] == [b"/moved", b"/moved", b"/there"]


async def test_every_user_plays_the_whole_list(tmp_path: Path) -> None:
    """A file of one user is played by each virtual user, in its order, as often as is wanted."""
    calls = [Call("GET", f"/{number}", ()) for number in range(3)]
    server = await play(tmp_path, calls, 4, 2)
    targets = [one.target.decode() for one in server.requests]
    assert {target: targets.count(target) for target in targets} == {"/0": 8, "/1": 8, "/2": 8}


@pytest.mark.parametrize(
    ("users", "shares"), [(3, [1, 1, 1]), (1, [1, 1, 1]), (2, [1, 1, 1]), (5, [2, 2, 1]), (6, [2, 2, 2])]
)
async def test_a_files_users_are_dealt_out(tmp_path: Path, users: int, shares: list[int]) -> None:
    """Every user of the file is played by a virtual user, all of its requests by the same one."""
    calls = [Call("GET", f"/{who}/{number}", (), user=who * 2) for number in range(2) for who in range(3)]
    server = await play(tmp_path, calls, users)
    targets = [one.target.decode() for one in server.requests]
    assert [targets.count(f"/{who}/0") for who in range(3)] == shares
    assert [targets.count(f"/{who}/1") for who in range(3)] == shares
    assert playing(Path("x"), calls).concurrency == 3


async def test_a_request_without_an_answer_does_not_end_the_file(tmp_path: Path) -> None:
    """It is an outcome in the transcript, and what follows is sent."""

    async def answer(received: Received) -> bytes | None:
        return None if received.target == b"/broken" else OK

    source = "curl http://h/1\ncurl http://h/broken\ncurl http://h/3"
    scenario = playing(Path("c"), commands(tmp_path, source))
    async with raw_server(answer) as server:
        with Journal(tmp_path / "t.jsonl", tmp_path / "bodies") as journal, anyio.fail_after(60):
            outcome = await fire(
                server.url, scenario, journal, concurrency=1, iterations=1, seed=1, timeout=5,
                stop=Stop(), say=lambda _: None,
            )  # fmt: skip
    assert outcome.failed == 0
    assert [one.target for one in server.requests] == [b"/1", b"/broken", b"/3"]
    assert "RemoteProtocolError" in (tmp_path / "t.jsonl").read_text()
