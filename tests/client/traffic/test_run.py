"""A recorded run as traffic: the same bytes, in the same causal order, numbered and journaled anew."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client.arriving import Arriving
from loadgen.client.recording import again as as_recorded
from loadgen.client.traffic.links import linked, listed
from loadgen.client.traffic.run import Again
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.stop import Stop
from loadgen.core.transcript import Event, Reader, Run
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from loadgen.client.traffic.call import Call

pytestmark = pytest.mark.anyio


class Server(httpx.AsyncBaseTransport):
    """Answers each number as *answer* says."""

    def __init__(self, answer: Callable[[int], Awaitable[None]]) -> None:
        self._answer = answer
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        await self._answer(int(request.headers["X-Loadgen-Seq"]))
        return httpx.Response(200, stream=httpx.ByteStream(b"new"))


class Noted:
    """A journal in memory."""

    def __init__(self) -> None:
        self.events: list[Request | Response | Failure] = []
        self.elapsed = 0.0
        self.issued = 0

    def issue(
        self, user: int, method: str, target: str, headers: Headers, body: bytes, due: float | None = None
    ) -> Request:
        self.issued += 1
        request = Request(self.issued, user, method, target, headers, body)
        self.events.append(request)
        return request

    def complete(self, outcome: Response | Failure) -> None:
        self.events.append(outcome)

    def write(self, event: object) -> None:
        raise AssertionError(event)

    @property
    def story(self) -> list[int]:
        """The events: n where request n was issued, -n where it ended."""
        return [one.seq if isinstance(one, Request) else -one.seq for one in self.events]


def transcript(*steps: int | str, times: dict[int, float] | None = None) -> Reader:
    """Return the transcript with these steps: n, -n, or "left n"."""
    run = {"event": "run", "format": "loadgen-transcript/2", "run": "r", "scenario": "s", "seed": 1,
           "concurrency": 0, "iterations": 1, "started": ""}  # fmt: skip
    lines = [run]
    for at, step in enumerate(steps):
        if isinstance(step, str):
            kind, _, number = step.partition(" ")
            line = {"event": "failure", "seq": int(number), "kind": kind, "message": ""}
        elif step > 0:
            line = {
                "event": "request",
                "seq": step,
                "user": step % 3,
                "method": "Put",
                "target": f"/%7e{step}?\xe9",
                "headers": [["X-b", "\xe9"], ["X-a", str(step)]],
                "body": {"text": f"body {step}"},
            }
        else:
            line = {"event": "response", "seq": -step, "status": 201, "headers": [], "body": {"text": "old"}}
        lines.append({**line, "at": (times or {}).get(at, at)})
    return Reader([json.dumps(line).encode() + b"\n" for line in lines], lambda _: b"", name="t")


def sender(
    server: httpx.AsyncBaseTransport,
    noted: Noted,
    calls: dict[int, Call] | None = None,
    *,
    limit: float = 5,
    stop: Stop | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Again:
    return Again(
        "http://s.test", server, noted, calls=calls or {}, timeout=limit, stop=stop or Stop(), say=say
    )


async def again(events: Reader, server: Server, *, limit: float = 5, stop: Stop | None = None) -> Noted:
    noted = Noted()
    with anyio.fail_after(10):
        await sender(server, noted, limit=limit, stop=stop).run(events)
    return noted


async def at_once(_: int) -> None:
    await anyio.lowlevel.checkpoint()


async def test_the_same_requests() -> None:
    """Method, target, headers, body and user are the recorded ones; the answers are the new ones."""
    server = Server(at_once)
    noted = await again(transcript(1, -1, 2, -2), server)
    assert noted.story == [1, -1, 2, -2]
    assert noted.events[0] == Request(1, 1, "Put", "/%7e1?\xe9", (("X-b", "\xe9"), ("X-a", "1")), b"body 1")
    assert noted.events[1] == Response(1, 200, (), b"new")
    sent = server.sent[0]
    assert sent.method == "Put"
    assert sent.headers.raw == [(b"X-b", b"\xe9"), (b"X-a", b"1"), (b"X-Loadgen-Seq", b"1")]
    assert (sent.extensions["target"], await sent.aread()) == (b"/%7e1?\xe9", b"body 1")


async def test_causal_order() -> None:
    """A request waits for the answers that had been seen before it, and for no other."""
    gates = {number: anyio.Event() for number in range(1, 5)}

    async def answer(number: int) -> None:
        await gates[number].wait()

    noted = Noted()
    async with anyio.create_task_group() as group:
        server = Server(answer)
        send = sender(server, noted)
        group.start_soon(send.run, transcript(1, 2, -2, 3, -1, 4, -3, -4))

        async def until(story: list[int]) -> None:
            with anyio.fail_after(5):
                while noted.story != story:  # noqa: ASYNC110
                    await anyio.sleep(0.001)

        await until([1, 2])
        gates[1].set()
        await until([1, 2, -1])
        gates[2].set()
        await until([1, 2, -1, -2, 3, 4])
        gates[4].set()
        await until([1, 2, -1, -2, 3, 4, -4])
        gates[3].set()


async def test_nothing_waits_for_a_failure() -> None:
    """What got no answer may get one now, and nobody waited for it then."""

    async def answer(number: int) -> None:
        await anyio.sleep(0.1 if number == 1 else 0)

    noted = await again(transcript(1, "ReadTimeout 1", 2, -2), Server(answer))
    assert noted.story == [1, 2, -2, -1]
    assert isinstance(noted.events[-1], Response)


@pytest.mark.slow
async def test_a_client_that_left_leaves_again() -> None:
    """After as long as it had stayed, and the outcome says so; a silent server is given up as always."""

    async def never(_: int) -> None:
        await anyio.sleep_forever()

    noted = await again(transcript(1, "ClientLeft 1", times={0: 1.0, 1: 1.1}), Server(never))
    assert noted.events[1] == Failure(1, "ClientLeft", "the client left, as in the recorded run")
    noted = await again(transcript(1, -1), Server(never), limit=0.1)
    assert noted.events[1] == Failure(1, "ReadTimeout", "no complete answer in 0.1 s")


class Shop(httpx.AsyncBaseTransport):
    """Gives a token and a session for each log-in, numbered from *first*; without any, if it is 0."""

    def __init__(self, first: int) -> None:
        self._next = first
        self.sent: list[tuple[str, list[tuple[bytes, bytes]], bytes]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        own = [pair for pair in request.headers.raw if pair[0] != b"X-Loadgen-Seq"]
        self.sent.append((request.extensions["target"].decode(), own, await request.aread()))
        if not self._next:
            return httpx.Response(200, stream=httpx.ByteStream(b""))
        number, self._next = self._next, self._next + 1
        body = gzip.compress(json.dumps({"token": f"token-{number}"}).encode())
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Set-Cookie": f"sid=session{number}; Path=/",
        }
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


async def recorded(path: Path, first: int) -> Callable[[], AbstractContextManager[Reader]]:
    """Record two log-ins, and a request with the values of both, of a user who is none of the two."""
    body = b'{"by": "token-%d"}' % (first + 1)
    headers = (
        ("Authorization", f"Bearer token-{first}"), ("Cookie", f"a=b; sid=session{first}"),
        ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
    )  # fmt: skip
    with Journal(path / "t.jsonl", path / "bodies") as journal:
        journal.write(Run("r", "s", 1, 2, 3, "2026-01-01T00:00:00+00:00"))
        shop = Shop(first)
        for user in (0, 1):
            request = journal.issue(user, "POST", "/login", (), b"")
            answer = await Arriving(request.seq).outcome(
                shop, as_recorded(request, httpx.URL("http://s.test"))
            )
            journal.complete(answer)
        request = journal.issue(2, "POST", f"/of/token-{first}", headers, body)
        journal.complete(Response(request.seq, 200, (), b""))
    return lambda: read_transcript(path / "t.jsonl", path / "bodies")


async def test_values_of_earlier_answers(tmp_path: Path) -> None:
    """They are those of the new answers, of any connection; the length is that of the body."""
    read = await recorded(tmp_path, 12345678)
    with read() as events:
        calls = linked(events)
    assert listed(calls, "no") == [
        "Carried over from earlier answers: token of POST /login (1), cookie sid (1). no."
    ]
    shop, said = Shop(555555555), list[str]()
    with read() as events:
        await sender(shop, Noted(), calls, say=said.append).run(events)
    assert said == []
    target, headers, body = shop.sent[2]
    assert (target, body) == ("/of/token-555555555", b'{"by": "token-555555556"}')
    assert headers == [
        (b"Authorization", b"Bearer token-555555555"), (b"Cookie", b"a=b; sid=session555555555"),
        (b"Content-Type", b"application/json"), (b"Content-Length", b"25"),
    ]  # fmt: skip


async def test_the_connection_is_no_sign_of_an_origin() -> None:
    """Clients whose connections are closed share their numbers: the answer that made the id counts."""
    data = (("Content-Type", "application/json"),)
    posted = Request(3, 0, "POST", "/posts", data, b'{"user_id": 4}')
    events: list[Event] = [
        Request(1, 0, "GET", "/users/2/posts", ()), Response(1, 200, data, b'[{"id": 4}]'),
        Request(2, 1, "POST", "/users", ()), Response(2, 201, data, b'{"id": 4}'), posted,
    ]  # fmt: skip
    assert [bound.call for bound in linked(events)[3].bound] == [2]


async def test_values_that_are_missing(tmp_path: Path) -> None:
    """If a new answer lacks a value, the recorded one is sent, and the user reads why."""
    read = await recorded(tmp_path, 12345678)
    with read() as events:
        calls = linked(events)
    shop, said, noted = Shop(0), list[str](), Noted()
    with read() as events:
        await sender(shop, noted, calls, say=said.append).run(events)
    target, headers, body = shop.sent[2]
    assert (target, body) == ("/of/token-12345678", b'{"by": "token-12345679"}')
    assert (b"Cookie", b"a=b; sid=session12345678") in headers
    assert len(said) == len(calls[3].bound) == 4
    assert (
        "POST /of/token-12345678 is sent with the recorded value: "
        "the answer to POST /login has no cookie sid this time"
    ) in said


async def test_a_stop() -> None:
    """No more is sent; what is open is waited for."""
    stop = Stop()

    async def answer(number: int) -> None:
        stop.requested = number == 2
        await anyio.sleep(0.05)

    noted = await again(transcript(1, -1, 2, -2, 3, -3), Server(answer), stop=stop)
    assert noted.story == [1, -1, 2, -2]
