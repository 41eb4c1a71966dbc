"""The vocabulary of values: requests and answers, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, field

Headers = tuple[tuple[str, str], ...]
"""Header fields in wire order, names and values as sent, decoded as latin-1."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it was issued."""

    seq: int
    """Sequence number: 1 for the first request issued in a run."""
    user: int
    """Number of the virtual user that issued it, from 0."""
    method: str
    target: str
    """Request target as on the wire: path and query, still percent-encoded."""
    headers: Headers
    body: bytes = b""

    def __str__(self) -> str:
        return f"request {self.seq} ({self.method} {self.target})"


@dataclass(frozen=True, slots=True)
class Response:
    """The server's answer to the request of the same sequence number."""

    seq: int
    status: int
    headers: Headers
    body: bytes = b""
    """The body's bytes as they were on the wire, before content decoding."""
    pieces: tuple[int, ...] = field(default=(), compare=False)
    """The sizes of its pieces, if the client read it piece by piece; they also depend on the network."""
    reason: str | None = None
    """The reason phrase of the status line; None if unknown."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No complete answer: the request was issued, and the client has a part of its answer, or nothing."""

    seq: int
    kind: str
    """The client's error, such as ``ReadTimeout``."""
    message: str
    pieces: tuple[int, ...] = field(default=(), compare=False)
    """The sizes of the pieces that had arrived, if the client read the answer piece by piece."""
    came: Response | None = None
    """The received part of the answer: its head, and the beginning of its body; None without a head."""

    @property
    def is_orderly(self) -> bool:
        """Whether the server itself ended the answer too early, so that what came is all that it sent.

        After any other failure more may have been sent: the client left or gave up, or the connection broke.
        """
        return self.kind == "RemoteProtocolError"


Outcome = Response | Failure
