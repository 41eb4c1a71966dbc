"""HTTP/1 framing without I/O: where messages begin and end in a stream of bytes, and the content of heads.

Bytes are never rewritten; a message is passed on unchanged. Heads are parsed strictly where two parsers could
disagree (two lengths, a length beside ``chunked``, folded or malformed header lines), because a recorded
request must mean the same to the server now and in every replay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, AnyStr, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.exchange import Headers

T = TypeVar("T")

HEAD_LIMIT = 1 << 20
"""Largest size of a head, in bytes."""
LINE_LIMIT = 1 << 12
"""Largest size of the line with a chunk's size, in bytes."""
TRAILER_LIMIT = 1 << 16
"""Largest size of the header lines after the last chunk, in bytes."""
KEPT, LONGEST_KEPT = 256, 1 << 11
"""Number of parsed texts of a kind that are kept, and the longest one; see :func:`kept`."""

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_WORD}) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00\r\n]*))?\r?\n")
_FIELD = re.compile(rf"^({_WORD}):[ \t]*([^\x00\r\n]*)\r?$", re.MULTILINE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00\r\n]*)?")
_BEGINNING = re.compile(_WORD.encode())
_BLANKS = " \t"
_TLS = "\x16"
_NO_BODY = frozenset({204, 304})


class Malformed(ValueError):  # noqa: N818 - says what the bytes are
    """The bytes are not an HTTP/1 message; the text is one of a fixed set, so that it can be counted."""


class Refused(Malformed):
    """A request that is refused, with the status for its client."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Body(Protocol):
    """Finds the end of a body, and keeps its content."""

    ended: bool
    content: list[bytes]

    def take(self, data: bytes) -> int:
        """Handle bytes, and return how many of them belong to the body.

        Raises:
            Malformed: they cannot belong to it.
        """


class Sized:
    """A body of known length; a length of 0 means a message without body."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self.ended = not length
        self.content: list[bytes] = []

    def take(self, data: bytes) -> int:
        """See :class:`Body`."""
        if self.ended:
            return 0
        if len(data) > self._missing:
            data = data[: self._missing]
        self.content.append(data)
        self._missing -= len(data)
        self.ended = not self._missing
        return len(data)


class ToTheEnd:
    """A body that lasts until the connection ends; the reader then sets :attr:`ended`."""

    def __init__(self) -> None:
        self.ended = False
        self.content: list[bytes] = []

    def take(self, data: bytes) -> int:
        """See :class:`Body`."""
        self.content.append(data)
        return len(data)


class Chunked:
    """A chunked body; its content is that of the chunks."""

    def __init__(self) -> None:
        self._line = b""
        self._missing = 0
        """Missing bytes of the current chunk."""
        self._next = Chunked._size
        """The parser for the next line."""
        self._trailers = 0
        self.ended = False
        self.content: list[bytes] = []

    def take(self, data: bytes) -> int:
        """See :class:`Body`."""
        at = 0
        while at < len(data) and not self.ended:
            if self._missing:
                piece = data[at : at + self._missing]
                self.content.append(piece)
                self._missing -= len(piece)
                at += len(piece)
            else:
                at = self._take_line(data, at)
        return at

    def _take_line(self, data: bytes, at: int) -> int:
        newline = data.find(b"\n", at)
        stop = newline + 1 if newline >= 0 else len(data)
        self._line += data[at:stop]
        if len(self._line) > LINE_LIMIT:
            raise Malformed("a line of a chunked body that is too long")
        if newline >= 0:
            line, self._line = self._line[:-1].removesuffix(b"\r"), b""
            self._next(self, line)
        return stop

    def _size(self, line: bytes) -> None:
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise Malformed("a chunk without a size")
        self._missing = int(found[1], 16)
        self._next = Chunked._end if self._missing else Chunked._trailer

    def _end(self, line: bytes) -> None:
        if line:
            raise Malformed("a chunk longer than its size")
        self._next = Chunked._size

    def _trailer(self, line: bytes) -> None:
        self.ended = not line
        self._trailers += len(line)
        if self._trailers > TRAILER_LIMIT:
            raise Malformed("trailers without an end")


def kept(parse: Callable[[AnyStr], T]) -> Callable[[AnyStr], T]:
    """Keep what *parse* last returned for short texts: a peer sends the same head again and again."""
    known = lru_cache(KEPT)(parse)

    @wraps(parse)
    def parsed(text: AnyStr) -> T:
        return known(text) if len(text) <= LONGEST_KEPT else parse(text)

    return parsed


def head_end(data: bytes, start: int = 0) -> int:
    """Return where the head at the beginning of *data* ends; -1: not yet. It does not end before *start*."""
    start = max(0, start - 2)
    usual = data.find(b"\n\r\n", start)
    short = data.find(b"\n\n", start, len(data) if usual < 0 else usual + 1)
    if short >= 0:
        return short + 2
    return usual + 3 if usual >= 0 else -1


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The parsed head of a request."""

    method: str
    target: str
    minor: int
    """The version is 1.*minor*."""
    headers: Headers
    length: int | None
    """Length of the body; None: it is chunked."""
    keeps: bool
    """Whether the client wants to use the connection again."""
    expects: bool
    """Whether the client waits for ``100 Continue`` before it sends the body."""

    def body(self) -> Body:
        """Return a reader for the body."""
        return Chunked() if self.length is None else Sized(self.length)


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The parsed head of an answer."""

    status: int
    reason: str
    headers: Headers
    length: int | None
    """Length of the body in the header; None: it is missing."""
    chunked: bool
    keeps: bool
    """Whether the server allows the connection to be used again, if the end of the answer is known."""

    def has_body(self, method: str) -> bool:
        """Whether the answer to a request with *method* may have a body at all."""
        return not (method == "HEAD" or self.status in _NO_BODY or self.status < 200)  # noqa: PLR2004

    def body(self, method: str) -> Body:
        """Return a reader for the body of the answer to a request with *method*."""
        if not self.has_body(method):
            return Sized(0)
        if self.chunked:
            return Chunked()
        return ToTheEnd() if self.length is None else Sized(self.length)


@kept
def request_head(raw: bytes) -> RequestHead:
    """Parse the head of a request, including its empty line.

    Raises:
        Refused: it is not HTTP/1, or the end of the body is ambiguous.
    """
    text = raw.decode("latin-1")
    method, target, minor, start = _request_line(text)
    try:
        headers, said = _fields(text[start:])
    except Malformed as error:
        raise Refused(400, str(error)) from error
    if said.coding:
        if said.length is not None:
            raise Refused(400, "both Content-Length and Transfer-Encoding")
        if not minor:
            raise Refused(400, "a chunked body in HTTP/1.0")
        if said.coding != "chunked":
            raise Refused(501, "a transfer encoding other than chunked")
    length = None if said.coding else said.length or 0
    return RequestHead(
        method,
        target,
        minor,
        headers,
        length,
        said.keeps(minor),
        bool(minor) and said.expect == "100-continue",
    )


def check_beginning(data: bytes) -> None:
    """Check that *data*, the beginning of a stream, can still become the head of a request.

    Raises:
        Refused: it cannot.
    """
    if b"\n" in data or not _BEGINNING.match(data):
        _request_line(data.partition(b"\n")[0].decode("latin-1") + "\n")
    if len(data) > HEAD_LIMIT:
        raise Refused(431, "a head that is too large")


@kept
def answer_head(raw: bytes) -> AnswerHead:
    """Parse the head of an answer, including its empty line.

    Raises:
        Malformed: it is not HTTP/1.
    """
    text = raw.decode("latin-1")
    line = _STATUS_LINE.match(text)
    if line is None:
        raise Malformed("an answer that is not HTTP/1")
    headers, said = _fields(text[line.end() :])
    headers = tuple([(name, value.rstrip(_BLANKS)) for name, value in headers])
    chunked = said.coding.endswith("chunked")
    return AnswerHead(int(line[2]), line[3] or "", headers, said.length, chunked, said.keeps(int(line[1])))


class _Said:
    """The header fields about the connection and the body."""

    __slots__ = ("coding", "connection", "expect", "length")

    def __init__(self, headers: Headers) -> None:
        self.length: int | None = None
        self.coding = self.connection = self.expect = ""
        for name, whole in headers:
            value = whole.rstrip(_BLANKS)
            match name.lower():
                case "content-length":
                    if self.length is not None:
                        raise Malformed("two lengths")
                    if not _LENGTH.fullmatch(value):
                        raise Malformed("a length that is not a number")
                    self.length = int(value)
                case "transfer-encoding":
                    if self.coding:
                        raise Malformed("two transfer encodings")
                    self.coding = value.lower() or "none"
                case "connection":
                    self.connection += f",{value.lower()}"
                case "expect":
                    self.expect = value.lower()

    def keeps(self, minor: int) -> bool:
        """Whether the connection can be used again after a message of version 1.*minor*."""
        if not self.connection:
            return minor > 0
        words = {word.strip() for word in self.connection.split(",")}
        return "close" not in words if minor else "keep-alive" in words


def _request_line(text: str) -> tuple[str, str, int, int]:
    found = _REQUEST_LINE.match(text)
    if found is None and text.startswith(_TLS):
        raise Refused(400, "a TLS handshake: only plain HTTP is spoken here")
    if found is None:
        raise Refused(400, "not HTTP")
    method, target, major, minor = found.groups()
    if method == "PRI" and target == "*":
        raise Refused(505, "HTTP/2: only HTTP/1 is spoken here")
    if major != "1" or minor not in "01":
        raise Refused(505, "a version other than HTTP/1.0 and HTTP/1.1")
    return method, target, int(minor), found.end()


@kept
def _fields(lines: str) -> tuple[Headers, _Said]:
    """Return the header fields in *lines*, which end with an empty one, and what they say.

    Blanks behind a value stay: some servers give them to the application.
    """
    found: list[tuple[str, str]] = _FIELD.findall(lines)
    if len(found) != lines.count("\n") - 1:
        raise Malformed("a header line that cannot be read")
    headers = tuple(found)
    return headers, _Said(headers)
