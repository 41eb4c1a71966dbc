"""A request of a file, and notes about the file for the user."""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from loadgen import protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.core.exchange import Headers

CONNECTION = frozenset(
    {
        "host", "content-length", "connection", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "http2-settings", "expect", protocol.SEQ_HEADER.lower(),
    }
)  # fmt: skip
"""Headers that belong to a connection, or follow from the rest of a request; not taken from a file."""
IMPLIED = frozenset({"connection", "keep-alive", "proxy-connection", protocol.SEQ_HEADER.lower()})
"""Of those, headers that are irrelevant to the request, so that leaving them out needs no note."""
_CLOSING = frozenset({"connection", "proxy-connection"})
"""Of those, headers that are relevant if they do not keep the connection."""
COOKIE = "cookie"
"""The kind of a value that is the cookie of its name."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Pattern of a method or a header name."""
_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<authority>[^/?#]*)(?P<target>[^#]*)")
_OPAQUE = re.compile(r"(?P<scheme>data|about|blob|javascript|file|mailto):", re.IGNORECASE)
_DEFAULT_PORT = re.compile(r":(?:80|443)?$")


@dataclass(frozen=True, slots=True)
class Redirects:
    """How redirects of a request are followed."""

    limit: int
    """Largest number of redirects; below 0: unlimited."""
    keep: tuple[int, ...]
    """Statuses after which the body is sent again; after 307 and 308 it always is."""
    method: str
    """The method if the body is not sent again."""
    headers: Headers
    """The headers if the body is not sent again."""
    referer: bool = False
    """Whether the URL that redirected is sent as ``Referer``."""
    leaves: bool = True
    """Whether a redirect to another server is an error, because it would be followed; otherwise it is not."""


@dataclass(frozen=True, slots=True)
class Jar:
    """The sources and the destination of a request's cookies, besides its own header."""

    reads: tuple[str, ...] = ()
    """Names of the jars whose cookies are sent."""
    writes: str = ""
    """Name of the jar that stores the cookies of the answers."""
    active: bool = False
    """Whether cookies of answers are used at all, for redirects."""
    at: int | None = None
    """Their position among the headers; by default that of the request's own header."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A value of a request that comes from an earlier answer."""

    part: str
    """Its location: ``target``, ``body``, or the index of a header."""
    start: int
    end: int
    writing: str
    """Its encoding there; see :func:`loadgen.client.traffic.slots.written`."""
    call: int
    """The number of the request whose answer has it; -1: the latest answer that sets the cookie."""
    kind: str
    """The kind of its location in the answer; see :class:`loadgen.client.traffic.answers.Answer`."""
    path: tuple[str | int, ...]
    """Its location in the answer."""

    @property
    def name(self) -> str:
        """The name of the location."""
        if self.kind in {"field", "header", "id", COOKIE}:
            return str(self.path[0])
        return "Location" if self.kind == "location" else ".".join(map(str, self.path)) or "the JSON"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    user: int = 0
    """The number of the file's user that sent it, from 0."""
    redirects: Redirects | None = None
    """How redirects are followed; by default they are not."""
    jar: Jar | None = None
    bound: tuple[Bound, ...] = ()
    """Its values that come from earlier answers."""


@dataclass(slots=True)
class Notes:
    """Notes about a file for the user: requests that are not sent, or not unchanged."""

    left_out: Counter[str] = field(default_factory=Counter)
    """Requests that are not sent, by reason."""
    headers: Counter[str] = field(default_factory=Counter)
    """Headers that are not sent, by name."""
    more: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Further sentences, each with the number of requests concerned."""

    def lines(self) -> list[str]:
        """Return the notes as text."""
        found = [f"Left out: {listed(self.left_out)}."] if self.left_out else []
        if self.headers:
            names = ", ".join(f"{name} ({count})" for name, count in self.headers.most_common())
            found.append(f"Not sent, as the connection to the target has its own: {names}.")
        return found + [
            sentence.replace("{n}", f"{count} request{'' if count == 1 else 's'}")
            for sentence, count in self.more.items()
            if count or "{n}" not in sentence
        ]


def listed(counts: Counter[str]) -> str:
    """Format counts as a list, the most frequent first."""
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def split(url: str) -> tuple[str, str, str]:
    """Return scheme, authority and target of *url*; the target's bytes decoded as latin-1.

    Characters that a browser percent-encodes in a URL are encoded, because files may store them unencoded.
    """
    if opaque := _OPAQUE.match(url):
        return opaque["scheme"].lower(), "", ""
    found = _URL.match(url)
    assert found
    target = found["target"].strip()
    if not target.startswith("/"):
        target = f"/{target}"
    # Valid characters stay unchanged, which preserves a browser's or a user's own encoding.
    return (found["scheme"] or "").lower(), found["authority"], quote(target, safe=string.punctuation)


def host(authority: str) -> str:
    """Return the host of *authority*, normalised for comparison.

    Letter case, default ports, credentials, and a leading ``www.`` are ignored, because a site that redirects
    from one form to another is one site.
    """
    name = _DEFAULT_PORT.sub("", authority.rpartition("@")[2].lower())
    return name.removeprefix("www.").removesuffix(".")


def without_connection(
    headers: Iterable[tuple[str, str]], authority: str, length: int, notes: Notes
) -> Headers:
    """Return *headers* without those of a connection; note the dropped ones that would have mattered."""
    kept = []
    for name, value in headers:
        key = name.lower()
        if key not in CONNECTION:
            kept.append((name, value))
            continue
        told = (
            (key in IMPLIED and (key not in _CLOSING or value.strip().lower() == "keep-alive"))
            or (key == "host" and host(value.strip()) == host(authority))
            or (key == "content-length" and value.strip() == str(length))
        )
        notes.headers[name.title()] += not told
    notes.headers = +notes.headers
    return tuple(kept)


def wire(text: str) -> str:
    """Return *text* in the form of header values: its UTF-8 bytes, decoded as latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def unwired(text: str) -> str:
    """Invert :func:`wire`."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
