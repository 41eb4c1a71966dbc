"""What happens while loadgen works: one stream of events, from wherever a session runs to whoever watches.

A session is given a function, ``emit``, and calls it with each event. A terminal, a file of JSON lines, the
host of a container and a hunt are such functions; what one of them raises ends the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Happened(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", forbid_unknown_fields=True):
    """Base of all events; each has its class's name, in lower case, as ``event`` in JSON."""


class Stage(Happened, frozen=True, kw_only=True, tag="stage"):
    """Something begins."""

    what: str


class Note(Happened, frozen=True, kw_only=True, tag="note"):
    """Something that the user should know, such as what of a file is not played."""

    line: str


class Story(Happened, frozen=True, kw_only=True, tag="story"):
    """A line that a scenario says."""

    line: str


class Figures(Happened, frozen=True, kw_only=True, tag="figures"):
    """The running figures of a session, a few times a second."""

    requests: int = 0
    """How many were issued."""
    total: int | None = None
    """How many are expected, where that is known."""
    elapsed: float = 0.0
    """Seconds since the session began."""
    until: float | None = None
    """The session begins nothing after this many seconds, where that is known."""
    failures: int = 0
    """How many got no answer."""
    statuses: dict[int, int] = {}
    """How many answers had each status."""
    p50: float = 0.0
    """Median latency, in seconds."""
    p99: float = 0.0
    """99th percentile of the latency, in seconds."""


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of the clients of a session that were recorded through the gateway."""

    connections: int
    """Connections that sent a request."""
    most_open: int
    """Requests that were open at once, at most."""
    exit_code: int | None = None
    """Of the client's command; None: there was none, or it was ended with the recording."""
    refused: dict[str, int] = {}
    """Requests that were not taken, by status and reason; they have no number."""
    left: dict[str, int] = {}
    """Clients that left early, by when they did."""


class SessionEnd(Happened, frozen=True, kw_only=True, tag="session_end"):
    """A session has ended: what became of its iterations."""

    iterations: int = 0
    failed: int = 0
    errors: dict[str, int] = {}
    """How many iterations each kind of error ended, at each line; in the words of its first time."""
    waited: int = 0
    """With an arrival rate: iterations that were due when no user was free."""
    longest_wait: float = 0.0
    """The longest that one of them waited, in seconds."""
    interrupted: bool = False
    """Whether it was ended early, on request."""
    visit: Visit | None = None
    """What came of its clients, where they came through the gateway."""


class Body(Happened, frozen=True, kw_only=True, tag="body"):
    """A body that the next entry refers to."""

    sha256: str
    base64: str


class Entry(Happened, frozen=True, kw_only=True, tag="entry"):
    """A line for a transcript, from a session that runs in another process than its journal."""

    name: str
    fields: dict[str, Any]
    """As :func:`loadgen.core.transcript.encode` gives them."""
    at: float
    """Seconds since the session began, by its own clock."""
    due: float | None = None
    """When a request should have been sent."""


class LeftTape(Happened, frozen=True, kw_only=True, tag="left_tape"):
    """A replayed load generator asked for something that was not recorded."""

    code: str
    """One of the codes of :mod:`loadgen.protocol`."""
    why: str
    stack: tuple[str, ...]
    """The calls that did, innermost first."""


class Failed(Happened, frozen=True, kw_only=True, tag="failed"):
    """It could not be done."""

    kind: str
    """The class of the error in :mod:`loadgen.errors`."""
    message: str
    advice: str = ""


Event = Stage | Note | Story | Figures | SessionEnd | Body | Entry | LeftTape | Failed

if TYPE_CHECKING:
    Emit = Callable[[Event], None]

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def to_line(event: Event) -> bytes:
    """Return *event* as one line of JSON, without its end."""
    return msgspec.json.encode(event)


def from_line(line: bytes) -> Event | None:
    """Return the event that *line* tells, and nothing where the line is something else, such as a print."""
    return _DECODER.decode(line) if line.startswith(b'{"event":') else None


def ignore(event: Event) -> None:
    """Watch nothing."""
    del event
