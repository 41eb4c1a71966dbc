r"""The transcript: format ``loadgen-transcript/3``.

A UTF-8 text file with one JSON object per line, each ended by ``\n``, in the order in which the recording
client saw the events. ``event`` is the kind of a line; ``at`` is seconds since the run began, on a monotonic
clock.

``run``
    The first line. ``format``, ``run`` (its id), ``scenario``, ``seed``, ``concurrency``, ``iterations``
    (of each user; 0: as many as time allowed), ``started`` (UTC, ISO 8601). A ``concurrency`` of 0 means that
    it was not yet known: clients used the gateway, and run.json has the largest number of open requests.
``request``
    Written *before* the request is sent: ``seq`` (1, 2, 3, ... without gaps), ``user``, ``method``,
    ``target``, ``headers`` (ordered list of pairs), ``body``. With an arrival rate, the first request of an
    iteration has ``due``: the time, as ``at``, at which it should have been sent.
``response``, ``failure``
    Written when the client has the whole answer, or knows that there will be none: ``seq`` of an open
    request, then ``status``, ``reason`` (the phrase of the status line), ``headers``, ``body`` or
    ``kind``, ``message``, and, if its head had come, ``came``: that much of the answer, with the fields of
    one. Where the client took the answer piece by piece, ``pieces`` has the sizes of those that came.
``failed_iteration``
    An iteration of a virtual user that ended by an assertion or another error of the scenario: ``user``,
    ``iteration`` (its number for this user, from 1; 0: the set-up or tear-down), ``scenario``, ``seq`` of
    the user's last request (0: none), ``kind`` (``AssertionError``), ``message``, ``where`` (file and line).
``order``
    The server's own order, as its boundary saw it, in pieces, after the last answer: ``steps`` is a list of
    sequence numbers, ``n`` where request *n* entered the application and ``-n`` where it finished.
``end``
    The last line, with the number of ``requests``. A transcript without it is truncated.

A body is ``null`` (empty), ``{"text": ...}`` if it is UTF-8, ``{"base64": ...}`` if not, or, from
:data:`INLINE_LIMIT` bytes on, ``{"sha256": ..., "size": ...}``, with its bytes in ``bodies/<sha256>``.

An incomplete last line (without newline, because the writer was killed) is ignored and reported as
:attr:`Reader.torn`. Any other damage is an error that names the line; nothing is guessed.

Older formats are read as well: 2 has no ``reason`` and no ``came``, 1 no ``failed_iteration`` and no ``due``
either.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.usual_lines import decode_usual
from loadgen.errors import TranscriptFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FORMAT = "loadgen-transcript/3"
READ = ("loadgen-transcript/1", "loadgen-transcript/2", FORMAT)
INLINE_LIMIT = 64 * 1024
"""Bodies of at least this many bytes are stored beside the transcript."""
FOREVER = 1e9
"""No run takes this many seconds: such a time is not valid."""


@dataclass(frozen=True, slots=True)
class Run:
    """The first line: what was run."""

    run: str
    scenario: str
    seed: int
    concurrency: int
    iterations: int
    started: str


@dataclass(frozen=True, slots=True)
class FailedIteration:
    """An iteration that ended by an assertion or another error of the scenario."""

    user: int
    iteration: int
    """Its number for this user, from 1; 0: the set-up or tear-down."""
    scenario: str
    seq: int
    """The user's last request; 0: none."""
    kind: str
    """The error, such as ``AssertionError``."""
    message: str
    where: str
    """File and line of the scenario; empty if unknown."""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.scenario}: {self.kind}: {self.message}{where}"


@dataclass(frozen=True, slots=True)
class Order:
    """A piece of the server's order: ``n`` entered, ``-n`` finished."""

    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The last line: the transcript is complete."""

    requests: int


Event = Run | Request | Response | Failure | FailedIteration | Order | End


def encode_body(body: bytes, keep: Callable[[str, bytes], None]) -> dict[str, Any] | None:
    """Encode *body* for a line; a large one is passed to *keep* with its hash."""
    if not body:
        return None
    if len(body) >= INLINE_LIMIT:
        digest = sha256(body).hexdigest()
        keep(digest, body)
        return {"sha256": digest, "size": len(body)}
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def decode_body(value: Any, fetch: Callable[[str], bytes]) -> bytes:
    """Decode the ``body`` of a line; *fetch* returns a large one by its hash.

    Raises:
        ValueError: it is not a valid body, or the fetched bytes do not match the hash.
    """
    match value:
        case None:
            return b""
        case {"text": str(text)}:
            return text.encode()
        case {"base64": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"sha256": str(digest), "size": int(size)}:
            body = fetch(digest)
            if len(body) != size or sha256(body).hexdigest() != digest:
                raise ValueError(f"bodies/{digest} does not hold the recorded bytes")
            return body
    raise ValueError("body is neither text, base64 nor a reference")


_NAMES: dict[type[Event], str] = {
    Run: "run",
    Request: "request",
    Response: "response",
    Failure: "failure",
    FailedIteration: "failed_iteration",
    Order: "order",
    End: "end",
}


def encode(event: Event, keep: Callable[[str, bytes], None]) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of *event*'s line, without ``at``."""
    match event:
        case Request():
            fields = {
                "seq": event.seq,
                "user": event.user,
                "method": event.method,
                "target": event.target,
                "headers": event.headers,
                "body": encode_body(event.body, keep),
            }
        case Response():
            fields = {"seq": event.seq, **_answer(event, keep)}
            if event.pieces:
                fields["pieces"] = event.pieces
        case Failure():
            fields = {"seq": event.seq, "kind": event.kind, "message": event.message}
            if event.came is not None:
                fields["came"] = _answer(event.came, keep)
            if event.pieces:
                fields["pieces"] = event.pieces
        case Run():
            fields = {"format": FORMAT, **asdict(event)}
        case _:
            fields = asdict(event)
    return _NAMES[type(event)], fields


def _answer(answer: Response, keep: Callable[[str, bytes], None]) -> dict[str, Any]:
    known = {} if answer.reason is None else {"reason": answer.reason}
    return {
        "status": answer.status,
        **known,
        "headers": answer.headers,
        "body": encode_body(answer.body, keep),
    }


def decode(line: Mapping[str, Any], fetch: Callable[[str], bytes]) -> Event:
    """Return the event of one parsed line.

    Raises:
        ValueError: a field is missing or has the wrong type.
    """
    if any(isinstance(value, bool) for value in line.values()):
        raise ValueError("true and false are no values of this format")  # Python would treat them as 1 and 0
    match line:
        case {
            "event": "request",
            "seq": int(seq),
            "user": int(user),
            "method": str(method),
            "target": str(target),
            "headers": [*pairs],
            "body": body,
        }:
            return Request(seq, user, method, target, _headers(pairs), decode_body(body, fetch))
        case {"event": "response", "seq": int(seq)}:
            return _response(seq, line, fetch, _pieces(line))
        case {"event": "failure", "seq": int(seq), "kind": str(kind), "message": str(message)}:
            came = _response(seq, line["came"], fetch) if "came" in line else None
            return Failure(seq, kind, message, _pieces(line), came)
    return _about_the_run(line)


def _response(seq: int, line: Any, fetch: Callable[[str], bytes], pieces: tuple[int, ...] = ()) -> Response:
    match line:
        case {"status": int(status), "headers": [*pairs], "body": body} if type(status) is int:
            reason = line.get("reason")
            if "reason" not in line or isinstance(reason, str):
                return Response(seq, status, _headers(pairs), decode_body(body, fetch), pieces, reason)
    raise ValueError("an answer with missing, unknown or mistyped fields")


def _about_the_run(line: Mapping[str, Any]) -> Run | FailedIteration | Order | End:
    match line:
        case {"event": "run", "format": str(found)} if found not in READ:
            raise ValueError(f"its format is {found!r}, and this loadgen reads {' and '.join(READ)}")
        case {
            "event": "run",
            "format": str(),
            "run": str(run),
            "scenario": str(scenario),
            "seed": int(seed),
            "concurrency": int(concurrency),
            "iterations": int(iterations),
            "started": str(started),
        }:
            return Run(run, scenario, seed, concurrency, iterations, started)
        case {
            "event": "failed_iteration",
            "user": int(user),
            "iteration": int(iteration),
            "scenario": str(scenario),
            "seq": int(seq),
            "kind": str(kind),
            "message": str(message),
            "where": str(where),
        }:
            return FailedIteration(user, iteration, scenario, seq, kind, message, where)
        case {"event": "order", "steps": [*steps]} if all(type(step) is int and step for step in steps):
            return Order(tuple(steps))
        case {"event": "end", "requests": int(requests)}:
            return End(requests)
        case {"event": str(name)}:
            raise ValueError(f"a {name!r} event with missing, unknown or mistyped fields")
    raise ValueError("no event")


def _pieces(line: Mapping[str, Any]) -> tuple[int, ...]:
    pieces = line.get("pieces", [])
    if not isinstance(pieces, list) or not all(type(one) is int and one > 0 for one in pieces):
        raise ValueError("pieces are not a list of sizes")
    return tuple(pieces)


def _time(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and 0 <= value < FOREVER else None


def _headers(pairs: list[Any]) -> Headers:
    headers: list[tuple[str, str]] = []
    for pair in pairs:
        match pair:
            case [str(name), str(value)]:
                headers.append((name, value))
            case _:
                raise ValueError("headers are not a list of pairs of text")
    return tuple(headers)


class Reader:
    """Reads a transcript as a stream and checks its format; memory grows only with open requests."""

    def __init__(self, lines: Iterable[bytes], fetch: Callable[[str], bytes], *, name: str) -> None:
        self._lines = lines
        self._fetch = fetch
        self.name = name
        self.torn = False
        self.requests = 0
        self.ended = False
        self.at: float | None = None
        """Time of the last event, in seconds since the run began, if its line has one."""
        self.due: float | None = None
        """When the last request should have been sent, if its line says so."""
        self._open: set[int] = set()
        self._number = 0

    def __iter__(self) -> Iterator[Event]:
        """Yield the events.

        Raises:
            TranscriptFault: a line, or the sequence of lines, does not follow the format.
        """
        for number, line in enumerate(self._lines, 1):
            self._number = number
            if not line.endswith(b"\n"):
                self.torn = True
                break
            event, at, due = decode_usual(line) or self._decode(line)
            self._check(event)
            self.at, self.due = _time(at), _time(due)
            yield event
        if not self._number:
            raise TranscriptFault(f"{self.name} is empty", advice="Record again: loadgen record")

    def _decode(self, line: bytes) -> tuple[Event, Any, Any]:
        """Return the event of *line*, with its times as they are written."""
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise ValueError("not an object")  # noqa: TRY004, TRY301 - one handler for all damage
            return decode(parsed, self._fetch), parsed.get("at"), parsed.get("due")
        except RecursionError as error:
            raise self._damage("it is nested too deeply") from error
        except (ValueError, OSError) as error:
            raise self._damage(str(error)) from error

    def _check(self, event: Event) -> None:
        """Check the sequence of events."""
        if self.ended:
            raise self._damage("something follows the end")
        if isinstance(event, Run) is not (self._number == 1):
            raise self._damage("the first line, and only the first, must be the 'run' event")
        match event:
            case Request(seq=seq):
                self._check_request(seq)
            case Response(seq=seq) | Failure(seq=seq):
                if seq not in self._open:
                    why = "was answered twice" if 0 < seq <= self.requests else "was never issued"
                    raise self._damage(f"request {seq} {why}")
                self._open.remove(seq)
            case FailedIteration(seq=seq):
                if not 0 <= seq <= self.requests:
                    raise self._damage(f"request {seq} was never issued")
            case Order(steps=steps):
                self._check_order(steps)
            case End(requests=requests):
                self._check_end(requests)

    def _check_request(self, seq: int) -> None:
        if 0 < seq <= self.requests:
            raise self._damage(f"request {seq} appears twice")
        if seq != self.requests + 1:
            raise self._damage(f"request {self.requests + 1} is missing: request {seq} follows")
        self.requests = seq
        self._open.add(seq)

    def _check_order(self, steps: tuple[int, ...]) -> None:
        if self._open:
            raise self._damage(f"request {min(self._open)} has no answer")
        missing = next((abs(step) for step in steps if abs(step) > self.requests), None)
        if missing is not None:
            raise self._damage(f"request {missing}, which the server saw, is missing")

    def _check_end(self, requests: int) -> None:
        if requests != self.requests:
            raise self._damage(f"{requests} requests were recorded, {self.requests} are here")
        if self._open:
            raise self._damage(f"request {min(self._open)} has no answer")
        self.ended = True

    def _damage(self, what: str) -> TranscriptFault:
        return TranscriptFault(
            f"{self.name}, line {self._number}: {what}",
            advice="The file was changed or damaged. Restore it, or record again.",
        )
