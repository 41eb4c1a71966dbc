"""A request of a file, and what a file of traffic comes to."""

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
"""Headers that belong to a connection, or follow from the rest of a request: not taken from a file."""
IMPLIED = frozenset({"connection", "keep-alive", "proxy-connection", protocol.SEQ_HEADER.lower()})
"""Of those, the ones that say nothing about the request: leaving them out is not worth a word."""
COOKIE = "cookie"
"""The kind of a value that is the cookie of its name."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a method or the name of a header consists of."""
_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<authority>[^/?#]*)(?P<target>[^#]*)")
_OPAQUE = re.compile(r"(?P<scheme>data|about|blob|javascript|file|mailto):", re.IGNORECASE)
_DEFAULT_PORT = re.compile(r":(?:80|443)?$")


@dataclass(frozen=True, slots=True)
class Redirects:
    """How redirects of a request are followed."""

    limit: int
    """How many at most; below 0: all."""
    keep: tuple[int, ...]
    """The statuses after which the body is sent again; after 307 and 308 it always is."""
    method: str
    """The method where the body is not sent again."""
    headers: Headers
    """The headers then."""
    referer: bool = False
    """Whether the URL that redirected is sent as ``Referer``."""


@dataclass(frozen=True, slots=True)
class Jar:
    """Where a request's cookies come from and go to, besides its own header."""

    reads: tuple[str, ...] = ()
    """The jars, by name, whose cookies are sent."""
    writes: str = ""
    """The jar into which the cookies of the answers go."""
    active: bool = False
    """Whether cookies are taken from answers at all, for the redirects that follow."""
    at: int | None = None
    """Where among the headers they are sent; by default with those of the request's own header."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A value of a request that comes from an earlier answer."""

    part: str
    """Where it stands: ``target``, ``body``, or the number of a header."""
    start: int
    end: int
    writing: str
    """How it is written there; see :func:`loadgen.client.traffic.slots.written`."""
    call: int
    """The number of the request whose answer has it; of a cookie, -1: the latest answer that sets it."""
    kind: str
    """In which kind of place the answer has it; see :class:`loadgen.client.traffic.answers.Answer`."""
    path: tuple[str | int, ...]
    """Which place."""

    @property
    def name(self) -> str:
        """What the place is called."""
        if self.kind in {"field", "header", "id", COOKIE}:
            return str(self.path[0])
        return "Location" if self.kind == "location" else ".".join(map(str, self.path)) or "the JSON"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to play."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    user: int = 0
    """Which of the file's users sent it, from 0."""
    redirects: Redirects | None = None
    """How redirects are followed; by default they are not."""
    jar: Jar | None = None
    bound: tuple[Bound, ...] = ()
    """What of it comes from earlier answers."""


@dataclass(slots=True)
class Notes:
    """What a user should know about a file: what of it is not played, or not as it stands."""

    left_out: Counter[str] = field(default_factory=Counter)
    """Requests that are not played, by why."""
    headers: Counter[str] = field(default_factory=Counter)
    """Headers that are not sent, by name."""
    more: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Sentences, with how many requests each is about."""

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
    """Return counted things as a list, the most frequent first."""
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def split(url: str) -> tuple[str, str, str]:
    """Return scheme, authority and target of *url*; the target's bytes decoded as latin-1.

    What a browser percent-encodes in a URL is percent-encoded: it may be kept in readable form.
    """
    if opaque := _OPAQUE.match(url):
        return opaque["scheme"].lower(), "", ""
    found = _URL.match(url)
    assert found
    target = found["target"].strip()
    if not target.startswith("/"):
        target = f"/{target}"
    # Everything that may stand there stays as it is: a browser's or a user's own encoding is what counts.
    return (found["scheme"] or "").lower(), found["authority"], quote(target, safe=string.punctuation)


def host(authority: str) -> str:
    """Return the host of *authority* in the form in which hosts are compared.

    Letter case, the ports that a scheme implies, credentials, and a leading ``www.`` make no difference: a
    site that redirects from one form to another is one site.
    """
    name = _DEFAULT_PORT.sub("", authority.rpartition("@")[2].lower())
    return name.removeprefix("www.").removesuffix(".")


def without_connection(
    headers: Iterable[tuple[str, str]], authority: str, length: int, notes: Notes
) -> Headers:
    """Return *headers* without those of a connection; of those that would have mattered, take a note."""
    kept = []
    for name, value in headers:
        key = name.lower()
        if key not in CONNECTION:
            kept.append((name, value))
            continue
        told = (
            key in IMPLIED
            or (key == "host" and host(value.strip()) == host(authority))
            or (key == "content-length" and value.strip() == str(length))
        )
        notes.headers[name.title()] += not told
    notes.headers = +notes.headers
    return tuple(kept)


def wire(text: str) -> str:
    """Return *text* as headers are kept: its bytes in UTF-8, decoded as latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def unwired(text: str) -> str:
    """Return the text of which :func:`wire` makes *text*."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
