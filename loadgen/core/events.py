"""Events: one stream that reports progress, from wherever a session runs to its subscribers.

A session calls a function, ``emit``, with each event. The terminal, a file of JSON lines, the host of a
container and a hunt each provide such a function. An exception raised in it ends the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from loadgen.core.tally import RequestTally

if TYPE_CHECKING:
    from collections.abc import Callable


class Happened(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", forbid_unknown_fields=True):
    """Base of all events; each has its class's name, in lower case, as ``event`` in JSON."""


class Stage(Happened, frozen=True, kw_only=True, tag="stage"):
    """A stage of the work begins."""

    what: str


class Note(Happened, frozen=True, kw_only=True, tag="note"):
    """A notice for the user, such as which requests of a file are not sent."""

    line: str


class Story(Happened, frozen=True, kw_only=True, tag="story"):
    """A line printed by a scenario."""

    line: str


class Figures(Happened, frozen=True, kw_only=True, tag="figures"):
    """The running figures of a session, a few times a second."""

    requests: int = 0
    """Requests issued so far."""
    total: int | None = None
    """Requests expected in total, if known."""
    elapsed: float = 0.0
    """Seconds since the session began."""
    until: float | None = None
    """Seconds after which the session starts nothing new, if limited."""
    failures: int = 0
    """Requests that failed without an answer."""
    statuses: dict[int, int] = {}
    """Number of answers by status."""
    p50: float = 0.0
    """Median latency, in seconds."""
    p99: float = 0.0
    """99th percentile of the latency, in seconds."""


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome of a session with clients that were recorded through the gateway."""

    connections: int
    """Number of connections that sent a request."""
    most_open: int
    """Largest number of requests that were open at once."""
    exit_code: int | None = None
    """Exit code of the client's command; None: there was none, or the recording ended it."""
    refused: dict[str, int] = {}
    """Refused requests, by status and reason; they have no number."""
    left: dict[str, int] = {}
    """Clients that disconnected early, by when they did."""


class PartFigures(Happened, frozen=True, kw_only=True, tag="part_figures"):
    """The running figures of a part of a session that has several client processes."""

    tally: RequestTally
    open_requests: int
    """Number of requests without an answer so far."""
    first: float | None = None
    """When its first event was written, in seconds since the journal was opened; None: there was none."""
    last: float = 0.0
    """When its last event was written."""


class SessionEnd(Happened, frozen=True, kw_only=True, tag="session_end"):
    """A session has ended, with the outcome of its iterations."""

    iterations: int = 0
    failed: int = 0
    errors: dict[str, int] = {}
    """Failed iterations by kind of error and line, worded as the first of each kind."""
    waited: int = 0
    """With an arrival rate: iterations that had to wait for a free user."""
    longest_wait: float = 0.0
    """The longest of those waits, in seconds."""
    interrupted: bool = False
    """Whether the session was stopped early, on request."""
    visit: Visit | None = None
    """The outcome of its clients, if they used the gateway."""


class EntryBody(Happened, frozen=True, kw_only=True, tag="body"):
    """A body that the next entry refers to."""

    sha256: str
    base64: str


class Entry(Happened, frozen=True, kw_only=True, tag="entry"):
    """A transcript line from a session that runs in a different process than its journal."""

    name: str
    fields: dict[str, Any]
    """As returned by :func:`loadgen.core.transcript.encode`."""
    at: float
    """Seconds since the session began, by its own clock."""
    due: float | None = None
    """When a request should have been sent."""


class LeftTape(Happened, frozen=True, kw_only=True, tag="left_tape"):
    """A replayed load generator made a call that was not recorded."""

    code: str
    """One of the codes of :mod:`loadgen.protocol`."""
    why: str
    stack: tuple[str, ...]
    """The call stack, innermost first."""


class Failed(Happened, frozen=True, kw_only=True, tag="failed"):
    """The job failed."""

    kind: str
    """The class of the error in :mod:`loadgen.errors`."""
    message: str
    advice: str = ""


Event = Stage | Note | Story | Figures | PartFigures | SessionEnd | EntryBody | Entry | LeftTape | Failed

if TYPE_CHECKING:
    Emit = Callable[[Event], None]

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def to_line(event: Event) -> bytes:
    """Return *event* as one line of JSON, without its end."""
    return msgspec.json.encode(event)


def from_line(line: bytes) -> Event | None:
    """Decode the event in *line*; None if the line is anything else, such as printed output."""
    return _DECODER.decode(line) if line.startswith(b'{"event":') else None


def ignore(event: Event) -> None:
    """Discard the event."""
    del event
