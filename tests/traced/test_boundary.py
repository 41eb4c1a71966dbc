"""The boundary's live half with a fake engine: accepted requests, its own answers, and its reports."""

from __future__ import annotations

import io
import json
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from loadgen import protocol
from loadgen.core.departure import Departure
from loadgen.testing.system import FakeSystem
from loadgen.traced import liveness, settings
from loadgen.traced.boundary import Boundary, _Numbers
from loadgen.traced.gaps.collector import collect_at_fixed_points
from loadgen.traced.settings import FIRST_THREAD
from loadgen.traced.tape import ENTER, FINISH, Diverged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Fail = Callable[[tuple[Any, ...]], None]


@pytest.fixture(autouse=True)
def collector_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the collector of this process alone."""
    monkeypatch.setattr(settings.CURRENT, "without", frozenset({collect_at_fixed_points.__name__}))


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer in two pieces, ``/short`` in one; ``/fails`` fails, ``/broken`` fails in the middle."""
    if environ["PATH_INFO"] == "/fails":
        raise KeyError("mine")
    if environ["PATH_INFO"] == "/leaves":
        raise Diverged(protocol.CALL_NOT_RECORDED, "it asks for more")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Date", "mine")])
    yield b"one"
    if environ["PATH_INFO"] == "/short":
        return
    if environ["PATH_INFO"] == "/broken":
        yield b"two"
        raise KeyError("mine")
    yield environ["PATH_INFO"].encode()


def boundary(mode: str = protocol.RECORD, fail: Fail = lambda _: None) -> tuple[Boundary, FakeSystem]:
    system = FakeSystem(mode, fail)
    made = Boundary(application, system)
    made.tape = None  # of another test in this process
    return made, system


class Answer:
    """What a live server would send."""

    def __init__(self, to: Boundary, path: str, seq: str = "") -> None:
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
            **({"HTTP_X_LOADGEN_SEQ": seq} if seq else {}),
        }  # fmt: skip
        self.status = ""
        self.headers: dict[str, str] = {}
        self.body = b"".join(to(environ, self._start))

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)


def reported(made: Boundary) -> dict[str, Departure]:
    """Return what the boundary says of the requests that left the tape."""
    state = json.loads(Answer(made, f"{protocol.CONTROL}{protocol.STATE}").body)
    assert state["protocol"] == protocol.VERSION
    return {seq: Departure.from_json(one) for seq, one in state["diverged"].items()}


def left(code: str, **more: Any) -> Fail:
    """Return what leaves the tape at the end of each request."""

    def fail(checkpoint: tuple[Any, ...]) -> None:
        if checkpoint[0] == FINISH:
            raise Diverged(code, f"it ends ({code})", **more)

    return fail


def test_a_request_is_one_logical_thread_between_two_checkpoints() -> None:
    """It is named by its number, enters once and finishes once, and its answer says who served it."""
    made, system = boundary()
    answer = Answer(made, "/a", "7")
    assert (answer.status, answer.body) == ("200 OK", b"one/a")
    assert answer.headers[protocol.SERVED_HEADER] == protocol.RECORD
    assert json.loads(answer.headers[protocol.OWN_HEADER]) == [["date", "mine"]]
    assert system.threads == [FIRST_THREAD + 7]
    assert [one[:2] for one in system.checkpoints] == [(ENTER, 7), (FINISH, 7)]
    assert list(made.order) == [7, -7]


@pytest.mark.parametrize("seq", ["", "x", "²", "1"])
def test_what_would_be_off_the_tape_is_refused(seq: str) -> None:
    """Without a number, with one that is none, or with a used one: the application is not entered."""
    made, system = boundary()
    Answer(made, "/first", "1")
    entered = len(system.checkpoints)
    answer = Answer(made, "/a", seq)
    assert answer.status.startswith("409")
    assert answer.headers[protocol.OUTCOME_HEADER] == protocol.REFUSED
    assert len(system.checkpoints) == entered


def test_health_checks_are_served_outside_the_trace() -> None:
    """They may come at any time, and leave no trace on the tape."""
    made, system = boundary()
    assert Answer(made, settings.CURRENT.health_path).body.startswith(b"one")
    assert not system.checkpoints


@pytest.mark.parametrize("path", ["/fails", "/broken"])
def test_an_error_of_the_application_is_for_the_live_server(path: str) -> None:
    """It answers as it does without loadgen; and the tape goes on to the end of the request."""
    made, _ = boundary()
    with pytest.raises(KeyError, match="mine"):
        Answer(made, path, "1")
    assert list(made.order) == [1, -1]
    assert made.diverged == {}


def test_a_request_that_left_the_tape_is_answered_by_the_boundary() -> None:
    """Where nothing was sent yet, the answer says that it is not the application's, and why."""
    made, _ = boundary(protocol.REPLAY)
    answer = Answer(made, "/leaves", "1")
    assert answer.status.startswith("500")
    assert answer.headers[protocol.OUTCOME_HEADER] == protocol.DIVERGED
    told = Departure.from_json(json.loads(answer.body))
    assert (told.code, told.why, told.after) == (protocol.CALL_NOT_RECORDED, "it asks for more", None)
    assert reported(made) == {"1": told}


@pytest.mark.parametrize(
    ("code", "as_code"),
    [
        (protocol.ANOTHER_CALL, protocol.ENDED_EARLY),
        (protocol.RECORDING_ENDS, protocol.RECORDING_ENDS),
        (protocol.ENGINE_CANNOT_READ, protocol.ENGINE_CANNOT_READ),
        (protocol.LOST_TURN, protocol.LOST_TURN),
    ],
)
def test_a_request_that_leaves_the_tape_is_reported_with_its_code(code: str, as_code: str) -> None:
    """Where its answer was under way, the connection breaks; the state says why, and who left before."""
    made, _ = boundary(protocol.REPLAY, left(code))
    for seq in ("1", "2"):
        with pytest.raises(ConnectionAbortedError):
            Answer(made, "/short", seq)
    assert {seq: (one.code, one.after) for seq, one in reported(made).items()} == {
        "1": (as_code, None),
        "2": (as_code, 1),
    }


@pytest.mark.parametrize(("lost", "seq"), [(FIRST_THREAD + 3, 3), (2, None), (None, None)])
def test_who_lost_what_is_missing_is_reported_by_request(lost: int | None, seq: int | None) -> None:
    """A thread of the application's own is no request: nobody is named for it."""
    made, _ = boundary(protocol.REPLAY, left(protocol.LOST_OBJECT, lost=lost))
    with pytest.raises(ConnectionAbortedError):
        Answer(made, "/short", "5")
    assert reported(made)["5"].lost == seq


def test_another_live_request_is_reported_as_that() -> None:
    """Which part of it differs is said; its code is that of a request which is not the recorded one."""

    def fail(checkpoint: tuple[Any, ...]) -> None:
        if checkpoint[0] == ENTER:
            recorded = (*checkpoint[:3], "/other", *checkpoint[4:])
            raise Diverged(protocol.ANOTHER_CALL, "differs", recorded, checkpoint)

    made, _ = boundary(protocol.REPLAY, fail)
    told = Departure.from_json(json.loads(Answer(made, "/a", "1").body))
    assert told.code == protocol.NOT_THE_RECORDED_REQUEST
    assert "path '/a', recorded '/other'" in told.why
    assert list(made.order) == []


def asking(wrapper: Any = None) -> dict[str, Any]:
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "HTTP_X_LOADGEN_SEQ": "1"}
    environ["wsgi.input"] = io.BytesIO()
    return environ if wrapper is None else {**environ, "wsgi.file_wrapper": wrapper}


class Closing:
    """Fails when it is closed."""

    def __iter__(self) -> Iterator[bytes]:
        return iter((b"one", b"two"))

    def close(self) -> None:
        raise KeyError("mine")


def test_an_error_at_close_comes_at_close() -> None:
    """The answer is complete before it, and the request has both of its checkpoints."""

    def closing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Closing()

    made = Boundary(closing, system := FakeSystem(protocol.RECORD))
    made.tape = None
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a",
        "wsgi.input": io.BytesIO(),
        "HTTP_X_LOADGEN_SEQ": "1",
    }
    body: Any = made(environ, lambda *_: None)
    assert b"".join(body) == b"onetwo"
    assert [one[0] for one in system.checkpoints] == [ENTER, FINISH]
    with pytest.raises(KeyError, match="mine"):
        body.close()


class Wrapper:
    """A live server's own."""

    def __init__(self, file: Any, size: int = 7) -> None:
        self.file, self.size = file, size


@pytest.mark.parametrize("numbered", [True, False])
def test_a_file_is_handed_to_the_live_server_as_its_own(tmp_path: Path, *, numbered: bool) -> None:
    """With what is left of the file, the size of pieces, and a descriptor if the application's has one."""
    (tmp_path / "file").write_bytes(b"0123456789" * 3)

    def sending(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        file = (tmp_path / "file").open("rb") if numbered else io.BytesIO(b"0123456789" * 3)
        file.seek(10)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    made = Boundary(sending, FakeSystem(protocol.RECORD))
    made.tape = None
    environ = asking(Wrapper)
    sent: Any = made(environ, lambda *_: None)
    assert isinstance(sent, Wrapper)
    assert sent.size == 7
    with sent.file as file:
        assert file.read() == b"0123456789" * 2
        assert hasattr(file, "name") == numbered
    assert list(made.order) == [1, -1]


def test_a_file_without_a_place_is_sent_in_pieces() -> None:
    """A server can only iterate over a pipe; and what is no piece of bytes is for the server to refuse."""

    class Pipe:
        def __init__(self, *pieces: Any) -> None:
            self.pieces = [*pieces, b""]

        def read(self, size: int) -> Any:
            return self.pieces.pop(0)

    made = Boundary(
        lambda environ, start: (
            [start("200 OK", [])] and environ["wsgi.file_wrapper"](Pipe(b"one", bytearray(b"two")))
        ),
        FakeSystem(protocol.RECORD),
    )
    made.tape = None
    environ = asking(Wrapper)
    assert list(made(environ, lambda *_: None)) == [b"one", bytearray(b"two")]


def test_what_clients_gave_up_holds_up_no_server() -> None:
    """Once they have ended, the live half of what is open goes on, and nothing new enters."""
    goes_on, entered, ended = threading.Event(), threading.Event(), threading.Event()

    def waits(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        entered.set()
        goes_on.wait(10)
        start_response("200 OK", [])
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.set()

    made = Boundary(waits, FakeSystem(protocol.RECORD, lambda _: None))
    made.tape = None
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            Answer(made, "/a", "1")
        except ConnectionAbortedError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert entered.wait(10)
    liveness._release()
    asking.join(10)
    assert len(failures) == 1
    assert Answer(made, "/a", "2").status.startswith("409")
    assert list(made.order) == [1]
    goes_on.set()
    assert ended.wait(10)


def test_an_order_of_many_steps() -> None:
    """It is told in pieces, and is one list."""
    made = boundary()[0]
    for steps in ([], [1], [*range(1, 25_001)]):
        made.order = array("q", steps)
        (body,) = made({"PATH_INFO": protocol.CONTROL + protocol.ORDER}, lambda *_: None)
        assert json.loads(body) == steps


def test_numbers_nearly_in_order_take_no_room() -> None:
    """Only those that are ahead of a missing one are kept."""
    numbers = _Numbers()
    for number in (2, 1, 3, 5, 6):
        assert number not in numbers
        numbers.add(number)
    assert [number in numbers for number in range(1, 8)] == [True, True, True, False, True, True, False]
    numbers.add(4)
    assert (numbers._all_below, numbers._above) == (7, set())


def test_threads_that_add_numbers_lose_none() -> None:
    """Wherever the interpreter switches between them, a number counts as used only if it was."""

    class Slow(set[int]):
        def discard(self, number: object) -> None:
            time.sleep(0.0001)
            super().discard(number)

    numbers, found = _Numbers(), list[int]()
    numbers._above = Slow()

    def add(first: int) -> None:
        for number in range(first, 201, 4):
            if number in numbers:
                found.append(number)
            numbers.add(number)

    threads = [threading.Thread(target=add, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == []
    assert (numbers._all_below, numbers._above) == (201, set())
