"""The replay scheduler: recorded causality is repeated, and nothing else is waited for."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import protocol
from loadgen.client.control import Control
from loadgen.client.replay import Refire
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.judge import Judge
from loadgen.core.transcript import End, Event, Order, Run
from loadgen.core.verdict import Judgement, Verdict
from loadgen.errors import EngineFault, RecordingFault, TranscriptFault
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript
from loadgen.testing.boundary import FIRST_THREAD, URL, FakeBoundary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

RUN = Run("r", "mixed", 1, 2, 3, "2026-01-01T00:00:00+00:00")
SERVED = ("X-Loadgen-Served", "replay")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def ask(seq: int) -> Request:
    return Request(seq, seq % 2, "GET", f"/{seq}", (("Host", "recorded:1"),))


def told(seq: int, body: bytes = b"ok") -> Response:
    return Response(seq, 200, (("Content-Length", str(len(body))), ("X-Loadgen-Served", "record")), body)


async def well(seq: int, request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers=[SERVED], content=b"ok")


class Replay:
    """One replay against a fake boundary, and what it found."""

    def __init__(self, wire: FakeBoundary, folder: Path, timeout: float = 5) -> None:
        self.wire = wire
        self.judge = Judge()
        self.path = folder / "replayed.jsonl"
        self.path.unlink(missing_ok=True)
        self.bodies = folder / "bodies"
        self._timeout = timeout
        self.client_order_same: bool | None = None

    async def run(self, events: Iterable[Event]) -> None:
        with Journal(self.path, self.bodies) as journal:
            journal.write(RUN)
            refire = Refire(URL, self.wire, Control(URL, self.wire), journal, self.judge, self._timeout)
            with anyio.fail_after(60):
                await refire.run(events)
            self.client_order_same = refire.client_order_same
            await refire.finish_transcript(journal.open_requests)

    def verdict(self, requests: int) -> Verdict:
        return self.judge.verdict(requests=requests, complete=True, client_order_same=self.client_order_same)

    def lines(self) -> list[Event]:
        with read_transcript(self.path, self.bodies) as events:
            read = iter(events)
            found = []
            while True:
                try:
                    found.append(next(read))
                except (StopIteration, TranscriptFault):
                    return found


def serial(requests: int) -> Iterator[Event]:
    """Yield the transcript of a sequential session, one event at a time."""
    yield RUN
    for seq in range(1, requests + 1):
        yield ask(seq)
        yield told(seq)
    for seq in range(1, requests + 1):
        yield Order((seq, -seq))
    yield End(requests)


@st.composite
def interleavings(draw: st.DrawFn) -> list[int]:
    """Draw the events of a client: *n* where request n was issued, *-n* where its answer arrived."""
    lived, open_requests, issued = list[int](), list[int](), 0
    total = draw(st.integers(1, 8))
    while issued < total or open_requests:
        if issued < total and (not open_requests or draw(st.booleans())):
            issued += 1
            open_requests.append(issued)
            lived.append(issued)
        else:
            lived.append(-open_requests.pop(draw(st.integers(0, len(open_requests) - 1))))
    return lived


def transcript(lived: list[int]) -> list[Event]:
    exchanges = [ask(step) if step > 0 else told(-step) for step in lived]
    return [RUN, *exchanges, End(len(lived) // 2)]


# ---- causality -------------------------------------------------------------------------------------------


@given(lived=interleavings(), data=st.data())
def test_causes_come_first_and_overlaps_overlap(
    tmp_path_factory: pytest.TempPathFactory, lived: list[int], data: st.DataObject
) -> None:
    """A request is sent after all answers that preceded it while recording, and before all that followed.

    The fake server holds back each answer until every request has arrived that was issued before that answer
    while recording, so a scheduler that serialises more than the transcript would hang. It sends available
    answers in any order, so a scheduler that waits for less would send too early.
    """
    arrived = {step: anyio.Event() for step in lived if step > 0}
    lazy = {seq: data.draw(st.integers(0, 3)) for seq in arrived}

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        arrived[seq].set()
        for earlier in lived[: lived.index(-seq)]:
            if earlier > 0:
                await arrived[earlier].wait()
        for _ in range(lazy[seq]):
            await anyio.lowlevel.checkpoint()
        return await well(seq, request)

    async def check() -> None:
        wire = FakeBoundary(answer)
        replay = Replay(wire, tmp_path_factory.getbasetemp())
        await replay.run(transcript(lived))
        for at, step in enumerate(lived):
            if step > 0:
                before = wire.order[: wire.order.index(step)]
                assert {done for done in lived[:at] if done < 0} <= {*before}
        assert [step for step in wire.order if step > 0] == sorted(arrived)
        assert replay.verdict(len(arrived)).compared == len(arrived)

    anyio.run(check)


async def test_requests_are_sent_as_recorded(folder: Path) -> None:
    """Method, target, headers in their order, and body are sent again; only the number is added."""
    headers = (("Host", "recorded:1"), ("x-A", "1"), ("X-B", "\xe9"), ("x-A", "2"))
    one = Request(1, 0, "PUT", "/a/../b?%20&\xc3\xa9", headers, b"\x00\xff")
    wire = FakeBoundary(well)
    await Replay(wire, folder).run([RUN, one, told(1), Order((1, -1)), End(1)])
    (sent,) = wire.sent
    assert sent.method == "PUT"
    assert sent.extensions["target"] == "/a/../b?%20&é".encode()
    assert sent.headers.raw == [
        (b"Host", b"recorded:1"),
        (b"x-A", b"1"),
        (b"X-B", b"\xe9"),
        (b"x-A", b"2"),
        (b"X-Loadgen-Seq", b"1"),
    ]
    assert await sent.aread() == b"\x00\xff"


async def test_the_replay_has_a_transcript_of_its_own(folder: Path) -> None:
    """What was sent and answered in the replay is kept as the recording was, under the same numbers."""
    replay = Replay(FakeBoundary(well), folder)
    await replay.run(serial(2))
    lines = replay.lines()
    assert lines[:2] == [RUN, ask(1)]
    assert [type(line).__name__ for line in lines[2:6]] == ["Response", "Request", "Response", "Order"]
    assert isinstance(lines[2], Response)
    assert (lines[2].seq, lines[2].body) == (1, b"ok")
    assert lines[5] == Order((1, -1, 2, -2))


# ---- the verdict's evidence ------------------------------------------------------------------------------


async def test_the_same_again_is_identical(folder: Path) -> None:
    """Equal answers in the same order are identical, and clients' order is the same."""
    replay = Replay(FakeBoundary(well), folder)
    await replay.run(serial(5))
    found = replay.verdict(5)
    assert found.judgement is Judgement.IDENTICAL
    assert (found.compared, found.order_steps, found.client_order_same) == (5, 10, True)


async def test_one_planted_difference_is_found(folder: Path) -> None:
    """One changed byte in one answer is a divergence of that request."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=[SERVED], content=b"oK" if seq == 3 else b"ok")

    replay = Replay(FakeBoundary(answer), folder)
    await replay.run(serial(5))
    found = replay.verdict(5)
    assert found.judgement is Judgement.DIVERGED
    assert [(one.seq, one.differences[0].field) for one in found.divergences] == [(3, "body at byte 1")]


async def test_bodies_are_compared_as_on_the_wire(folder: Path) -> None:
    """A body is not decoded before it is compared: different compression of the same text differs."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        headers = [("Content-Encoding", "gzip"), ("Content-Length", "3"), SERVED]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"\x1f\x8b!"))

    headers = (("Content-Encoding", "gzip"), ("Content-Length", "3"))
    replay = Replay(FakeBoundary(answer), folder)
    events: list[Event] = [RUN, ask(1), Response(1, 200, headers, b"\x1f\x8b!"), Order((1, -1)), End(1)]
    await replay.run(events)
    assert replay.verdict(1).judgement is Judgement.IDENTICAL


@pytest.mark.parametrize(
    ("steps", "step"),
    [([1, -1, 2], "step 4"), ([2, -2, 1, -1], "step 1"), ([1, -1, 2, -2, 7], "step 5")],
    ids=["missing", "swapped", "extra"],
)
async def test_the_servers_order_is_asked_for_and_compared(folder: Path, steps: list[int], step: str) -> None:
    """The order that the boundary reports is compared with the recorded one, to both ends."""
    wire = FakeBoundary(well)
    wire.reported = steps
    replay = Replay(wire, folder)
    await replay.run(serial(2))
    assert replay.judge.diverged == 0
    found = replay.verdict(2)
    assert found.judgement is Judgement.DIVERGED
    assert found.order is not None
    assert found.order.differences[0].field.endswith(step)


async def test_clients_order_is_reported(folder: Path) -> None:
    """Completions seen in another order are reported, and are no divergence."""
    second = anyio.Event()

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq == 1:
            await second.wait()
        else:
            second.set()
        return await well(seq, request)

    replay = Replay(FakeBoundary(answer), folder)
    await replay.run([RUN, ask(1), ask(2), told(1), told(2), Order((1, 2, -2, -1)), End(2)])
    found = replay.verdict(2)
    assert found.judgement is Judgement.IDENTICAL
    assert found.client_order_same is False


def departed(why: str, code: str = protocol.ANOTHER_CALL) -> dict[str, Any]:
    """Return what the boundary reports of a request that left the tape."""
    return {"code": code, "why": why, "stack": ["app.py:1 in f: x"], "after": None, "lost": None}


async def test_a_request_that_left_the_tape_has_its_evidence(folder: Path) -> None:
    """If the boundary reports that a request diverged, its evidence is in the verdict."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq != 2:
            return await well(seq, request)
        wire.state["diverged"] = {"2": departed("asked for random(), the tape has time()")}
        return httpx.Response(500, headers=[("X-Loadgen-Outcome", "diverged")], json={})

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder)
    await replay.run(serial(3))
    found = replay.verdict(3)
    assert found.judgement is Judgement.DIVERGED
    assert [(one.seq, one.evidence) for one in found.divergences] == [
        (2, "asked for random(), the tape has time(), at app.py:1 in f: x")
    ]


async def test_a_broken_answer_of_a_diverged_request_is_diverged(folder: Path) -> None:
    """A connection that broke because its request left the tape is a difference with evidence."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq != 2:
            return await well(seq, request)
        wire.state["diverged"] = {"2": departed("off the tape")}
        raise httpx.RemoteProtocolError("half a body")

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder)
    await replay.run(serial(3))
    (one,) = replay.verdict(3).divergences
    assert (one.seq, one.code, one.evidence) == (2, "another-call", "off the tape, at app.py:1 in f: x")
    assert Failure(2, "RemoteProtocolError", "half a body") in replay.lines()


@pytest.mark.parametrize("finishes", [True, False])
async def test_a_client_that_gave_up(folder: Path, *, finishes: bool) -> None:
    """Nobody waits for its request but the end: of the request where the tape has one, else of the tape."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq != 1:
            return await well(seq, request)
        await wire.all_sent.wait()
        if not finishes:
            wire.state["diverged"] = {"1": departed("the recording ends here", protocol.RECORDING_ENDS)}
            raise httpx.RemoteProtocolError("broken off")
        return await well(seq, request)

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder)
    steps = (1, 2, -2, -1) if finishes else (1, 2, -2)
    events: list[Event] = [RUN, ask(1), Failure(1, "ReadTimeout", ""), ask(2), told(2), Order(steps), End(2)]
    if not finishes:
        wire.reported = [*steps]
    await replay.run(events)
    found = replay.verdict(2)
    assert found.judgement is Judgement.IDENTICAL, found.reasons
    assert found.unanswered == {"ReadTimeout": 1}


@pytest.mark.slow
async def test_a_server_that_never_answers(folder: Path) -> None:
    """It has ended the request, and sends nothing more, as while it was recorded: nobody waits for ever."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq != 1:
            return await well(seq, request)
        wire.order.append(-1)
        await anyio.sleep_forever()
        raise AssertionError

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder, timeout=30)
    gave_up = Failure(1, "ReadTimeout", "no complete answer in 5 s")
    await replay.run([RUN, ask(1), gave_up, ask(2), told(2), Order((1, -1, 2, -2)), End(2)])
    found = replay.verdict(2)
    assert found.judgement is Judgement.IDENTICAL, found.reasons or found.divergences
    assert found.unanswered == {"ReadTimeout": 1}
    assert "sends nothing" in str(replay.lines())


# ---- no answer -------------------------------------------------------------------------------------------


async def test_a_stuck_replay_is_told(folder: Path) -> None:
    """No answer within the time limit names the request and what the tape waits for; nothing hangs."""
    cancelled = []

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq < 2:
            return await well(seq, request)
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(seq)
        raise AssertionError

    wire = FakeBoundary(answer)
    wire.state["tape"] = {
        "waiting": [FIRST_THREAD + 2],
        "next": FIRST_THREAD + 3,
        "item": "a checkpoint",
        "idle": 7.2,
        "ended": None,
    }
    replay = Replay(wire, folder, timeout=0.05)
    with pytest.raises(EngineFault) as caught:
        await replay.run(serial(3))
    assert "no answer to request 2 (GET /2) in 0.05 s" in caught.value.message
    assert "the tape's next step (a checkpoint) is of request 3" in caught.value.message.lower()
    assert "waiting for their turn: request 2; no step was taken for 7 s" in caught.value.message
    assert cancelled == [2]


async def test_a_request_without_end_is_not_the_engines_fault(folder: Path) -> None:
    """It had no answer while recording either, and waits for no turn: it runs. The recording says so."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq == 1:
            await anyio.sleep_forever()
        return await well(seq, request)

    wire = FakeBoundary(answer)
    events: list[Event] = [RUN, ask(1), Failure(1, "ReadTimeout", ""), ask(2), told(2)]
    events += [Order((1, 2, -2)), End(2)]
    tape = {"next": None, "item": "", "idle": 7.2, "ended": "end"}
    for waiting, fault in (([], RecordingFault), ([FIRST_THREAD + 1], EngineFault)):
        wire.state["tape"] = {**tape, "waiting": waiting}
        own = folder / fault.__name__
        own.mkdir()
        with pytest.raises(fault) as caught:
            await Replay(wire, own, timeout=0.05).run(events)
        assert "GET /1" in caught.value.message
        assert ("no answer while recording either" in caught.value.message) is not bool(waiting)


async def test_a_dead_server_is_told(folder: Path) -> None:
    """A server that is gone is an EngineFault that names the request, not a difference."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq < 3:
            return await well(seq, request)
        wire.dead = True
        raise httpx.RemoteProtocolError("Server disconnected")

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder)
    with pytest.raises(EngineFault, match=r"stopped answering at request 3 \(GET /3\)"):
        await replay.run(serial(5))
    found = replay.verdict(5)
    assert found.judgement is Judgement.UNDETERMINED
    assert found.compared == 2


async def test_no_answer_without_evidence_is_the_engines_fault(folder: Path) -> None:
    """A lost answer of a server that lives and saw no divergence cannot be judged."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset")

    with pytest.raises(EngineFault, match=r"no answer to request 1 \(GET /1\): ReadError reset"):
        await Replay(FakeBoundary(answer), folder).run(serial(1))


async def test_a_server_that_dies_before_its_order_is_told(folder: Path) -> None:
    """Without the server's order there is no verdict of identical."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        wire.dead = True
        return await well(seq, request)

    wire = FakeBoundary(answer)
    replay = Replay(wire, folder)
    with pytest.raises(EngineFault, match="stopped answering at the end"):
        await replay.run(serial(1))
    assert replay.verdict(1).judgement is Judgement.UNDETERMINED


async def test_damage_ends_the_replay(folder: Path) -> None:
    """Damage in the middle of the transcript comes out as itself, and what was sent is not waited for."""

    def events() -> Iterator[Event]:
        yield from (RUN, ask(1), told(1), ask(2))
        raise TranscriptFault("line 5")

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq == 2:
            await anyio.sleep_forever()
        return await well(seq, request)

    replay = Replay(FakeBoundary(answer), folder)
    with pytest.raises(TranscriptFault, match="line 5"):
        await replay.run(events())
    assert replay.verdict(2).compared == 1


# ---- memory ----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_transcript(folder: Path) -> None:
    """Late in a long transcript, only the server's order is kept, and no data of requests."""
    requests, warm, kept = 2_000, 1_500, list[int]()
    body = b"x" * 1000

    def events() -> Iterator[Event]:
        yield RUN
        for seq in range(1, requests + 1):
            if seq == warm:
                tracemalloc.start()
            yield Request(seq, 0, "POST", "/", (), body + b"%d" % seq)
            yield Response(seq, 200, (("Content-Length", "2"),), b"ok")
        kept.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        yield End(requests)

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        request.stream = httpx.ByteStream(b"")
        return httpx.Response(200, headers=[("Content-Length", "2"), SERVED], stream=httpx.ByteStream(b"ok"))

    class Forgetful(FakeBoundary):
        """Keeps nothing itself."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/__loadgen__/"):
                return await super().handle_async_request(request)
            return await answer(0, request)

    replay = Replay(Forgetful(answer), folder)
    await replay.run(events())
    assert replay.verdict(requests).compared == requests
    assert kept[0] < (requests - warm) * 200, f"{kept[0]} bytes for {requests - warm} requests"


async def test_transcript_that_stops_in_the_middle(folder: Path) -> None:
    """Requests without an end in the transcript are given up when it ends: they may wait for ever."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq > 1:
            await anyio.sleep(60)
        return await well(seq, request)

    replay = Replay(FakeBoundary(answer), folder)
    with anyio.fail_after(5):
        await replay.run([RUN, ask(1), ask(2), told(1), ask(3)])


async def test_recorded_failure_is_not_waited_for(folder: Path) -> None:
    """Nor is it at the end of a transcript that was cut short: what it waits for may never be sent."""

    async def answer(seq: int, request: httpx.Request) -> httpx.Response:
        if seq == 2:
            await anyio.sleep(60)
        return await well(seq, request)

    replay = Replay(FakeBoundary(answer), folder)
    with anyio.fail_after(5):
        await replay.run([RUN, ask(1), ask(2), told(1), Failure(2, "ReadTimeout", ""), ask(3), told(3)])
    assert replay.verdict(3).compared == 2
