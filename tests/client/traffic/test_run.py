"""A recorded run as traffic: the same bytes, in the same causal order, numbered and journaled anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client.traffic.run import Again
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.stop import Stop
from loadgen.core.transcript import Reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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


async def again(events: Reader, server: Server, *, limit: float = 5, stop: Stop | None = None) -> Noted:
    noted = Noted()
    with anyio.fail_after(10):
        await Again("http://s.test", server, noted, timeout=limit, stop=stop or Stop()).run(events)
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
        send = Again("http://s.test", server, noted, timeout=5, stop=Stop())
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


async def test_a_stop() -> None:
    """No more is sent; what is open is waited for."""
    stop = Stop()

    async def answer(number: int) -> None:
        stop.requested = number == 2
        await anyio.sleep(0.05)

    noted = await again(transcript(1, -1, 2, -2, 3, -3), Server(answer), stop=stop)
    assert noted.story == [1, -1, 2, -2]
