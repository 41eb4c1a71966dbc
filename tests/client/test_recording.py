"""The recording transport: every request is written before it is sent, and always gets an end."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client.limit import Stopped
from loadgen.client.recording import RecordingTransport, numbered
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.transcript import Event, Run
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

RUN = Run("r", "mixed", 1, 2, 3, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "t.jsonl", tmp_path / "bodies") as journal:
        journal.write(RUN)
        yield journal


@pytest.fixture
def written(journal: Journal, tmp_path: Path) -> Callable[[], list[Event]]:
    """Give what is on disk at the moment, without the first line."""

    def read() -> list[Event]:
        with read_transcript(tmp_path / "t.jsonl", tmp_path / "bodies") as events:
            return list(events)[1:]

    return read


class Inner(httpx.AsyncBaseTransport):
    """A transport with configured answers, which notes whether it was closed."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        return self.answer(request)

    async def aclose(self) -> None:
        self.closed = True


def client(inner: httpx.AsyncBaseTransport, journal: Journal, *, stopped: bool = False) -> httpx.AsyncClient:
    transport = RecordingTransport(inner, journal, 7, lambda: stopped)
    return httpx.AsyncClient(transport=transport, base_url="http://server:1")


async def test_written_before_sent(journal: Journal, written: Callable[[], list[Event]]) -> None:
    """When a request reaches the wire, its line is on disk; its answer's is when the scenario has it."""
    seen: list[list[Event]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(written())
        return httpx.Response(200, content=b"ok")

    async with client(Inner(answer), journal) as http:
        await http.post("/a?b=%20c", content=b"\xff", headers={"X-A": "1"})
    (before,) = seen
    (one,) = before
    assert isinstance(one, Request)
    assert (one.seq, one.user, one.method, one.target, one.body) == (1, 7, "POST", "/a?b=%20c", b"\xff")
    assert ("X-A", "1") in one.headers
    after = written()
    assert after[:1] == before
    assert isinstance(after[1], Response)


async def test_the_number_travels_with_the_request(
    journal: Journal, written: Callable[[], list[Event]]
) -> None:
    """The wire's request carries the number that was written down; the written headers are the scenario's."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async with client(Inner(answer), journal) as http:
        await http.get("/1")
        await http.get("/2")
    assert [request.headers["X-Loadgen-Seq"] for request in sent] == ["1", "2"]
    requests = [event for event in written() if isinstance(event, Request)]
    assert [one.seq for one in requests] == [1, 2]
    for one, request in zip(requests, sent, strict=True):
        raw = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        assert [*one.headers, ("X-Loadgen-Seq", str(one.seq))] == raw


def test_the_method_is_as_it_was_written() -> None:
    """A numbered request has the method of the request, which httpx would write in capitals."""
    request = httpx.Request("GET", "http://server:1/")
    request.method = "Get"
    assert numbered(request, 7).method == "Get"


async def test_a_failure_is_written_and_told(journal: Journal, written: Callable[[], list[Event]]) -> None:
    """A failure is written with the client's error, and the scenario gets the error itself."""
    error = httpx.ReadTimeout("too slow")

    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    async with client(Inner(answer), journal) as http:
        with pytest.raises(httpx.ReadTimeout) as caught:
            await http.get("/")
    assert caught.value is error
    assert written()[1:] == [Failure(1, "ReadTimeout", "too slow")]
    assert journal.open_requests == 0


async def test_half_an_answer_is_a_failure(journal: Journal, written: Callable[[], list[Event]]) -> None:
    """A body that breaks off is no answer to the scenario; the transcript has what came of it."""

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise httpx.RemoteProtocolError("cut off")

    async with client(Inner(lambda _: httpx.Response(200, content=body())), journal) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/")
    came = Response(1, 200, (("Transfer-Encoding", "chunked"),), b"half")
    assert written()[1:] == [Failure(1, "RemoteProtocolError", "cut off", came=came)]


@pytest.mark.parametrize("where", ["before the answer", "within the body"])
async def test_a_cancelled_request_has_an_end(
    journal: Journal, written: Callable[[], list[Event]], where: str
) -> None:
    """Cancelled at any await, a request is written as ended, and the cancellation continues."""
    reached = anyio.Event()

    async def stall() -> AsyncIterator[bytes]:
        yield b"half"
        reached.set()
        await anyio.sleep_forever()

    class Stalling(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if where == "within the body":
                return httpx.Response(200, content=stall())
            reached.set()
            await anyio.sleep_forever()
            raise AssertionError

    finished = []

    async def live() -> None:
        async with client(Stalling(), journal) as http:
            await http.get("/")
        finished.append("the request returned")

    async with anyio.create_task_group() as users:
        users.start_soon(live)
        await reached.wait()
        assert journal.open_requests == 1
        users.cancel_scope.cancel()
    assert not finished
    assert [type(event).__name__ for event in written()] == ["Request", "Failure"]
    assert journal.open_requests == 0


async def test_encoded_bodies_are_kept_as_on_the_wire(
    journal: Journal, written: Callable[[], list[Event]]
) -> None:
    """The transcript has the bytes of the wire; the scenario has the decoded ones and the same headers."""
    body = gzip.compress(b'{"a": 1}', mtime=0)
    headers = [("Content-Encoding", "gzip"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")]

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(203, headers=headers, stream=httpx.ByteStream(body))

    async with client(Inner(answer), journal) as http:
        got = await http.get("/")
    assert got.json() == {"a": 1}
    assert [(name.decode(), value.decode()) for name, value in got.headers.raw] == headers
    assert written()[1] == Response(1, 203, tuple(headers), body)


async def test_stopped_issues_nothing(journal: Journal, written: Callable[[], list[Event]]) -> None:
    """After the stop no request gets a number, a line or a connection."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async with client(Inner(answer), journal, stopped=True) as http:
        with pytest.raises(Stopped):
            await http.post("/", content=b"x")
    assert (journal.requests, sent, written()) == (0, [], [])


async def test_a_streamed_body_is_written_whole(journal: Journal, written: Callable[[], list[Event]]) -> None:
    """A body that the scenario streams is read before its request is numbered, and sent as written."""
    sent: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await anyio.lowlevel.checkpoint()
        yield b"b"

    class Reading(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(await request.aread())
            return httpx.Response(200)

    async with client(Reading(), journal) as http:
        await http.put("/", content=chunks())
    (one, _) = written()
    assert isinstance(one, Request)
    assert one.body == b"ab"
    assert ("Transfer-Encoding", "chunked") in one.headers
    assert sent == [b"ab"]


async def test_closing_closes_the_wire(journal: Journal) -> None:
    """The transport underneath lives and ends with the client."""
    inner = Inner(lambda _: httpx.Response(200))
    async with client(inner, journal):
        assert not inner.closed
    assert inner.closed


async def test_number_stays_out_of_what_is_recorded(tmp_path: Path) -> None:
    """A redirect copies its request's headers: the number of the first must not become part of the second."""
    sent: list[list[tuple[bytes, bytes]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append([pair for pair in request.headers.raw if pair[0].lower() == b"x-loadgen-seq"])
        return httpx.Response(302, headers={"Location": "/there"}) if len(sent) == 1 else httpx.Response(200)

    with Journal(tmp_path / "t.jsonl", tmp_path / "bodies") as journal:
        transport = RecordingTransport(httpx.MockTransport(answer), journal, 0, lambda: False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://s", follow_redirects=True
        ) as client:
            await client.get("/here", headers={"X-Loadgen-Seq": "99"})
    assert [[value for _, value in pairs] for pairs in sent] == [[b"1"], [b"2"]]
    assert "loadgen-seq" not in (tmp_path / "t.jsonl").read_text().lower()
