"""Values of an answer that a later request may use: in JSON, form fields, headers, cookies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.exchange import Headers

Key = tuple[str | int, ...]
SCALARS = 500
"""Number of values examined in one answer."""
LARGEST = 4 << 20
"""Largest body that is examined, in bytes."""
_PLAIN = frozenset(
    {
        "accept-ranges", "age", "allow", "alt-svc", "cache-control", "connection", "content-encoding",
        "content-language", "content-length", "content-security-policy", "content-type", "date", "expires",
        "keep-alive", "location", "pragma", "server", "set-cookie", "strict-transport-security",
        "transfer-encoding", "vary", "via",
    }
)  # fmt: skip
"""Headers with values that a client would not send back, or that are handled separately."""
LONG_AGO = 1e9
"""Servers delete a cookie with a date around 1970, so the clock is not needed."""


@dataclass(frozen=True)
class Answer:
    """An answer, with its body decoded."""

    headers: Headers
    body: bytes

    def values(self) -> Iterator[tuple[str, Key, str | int]]:
        """Yield its values, each with the kind of its location, the location, and the value."""
        found = [
            *(("json", path, value) for path, value in scalars(self._json)),
            *(("field", (name, at), value) for (name, at), value in self._fields.items()),
        ]
        yield from found[:SCALARS]
        for name, value in self.headers:
            if name.lower() not in _PLAIN:
                yield "header", (name.lower(),), value
        for at, piece in enumerate(self._location[0]):
            yield "location", ("path", at), piece
        for name, value in self._location[1].items():
            yield "location", ("query", name), value

    def value(self, kind: str, path: Key) -> str | int | None:
        """Return the value at a location; None if the answer has none there."""
        match kind:
            case "json":
                return _at(self._json, path)
            case "field":
                return self._fields.get((str(path[0]), int(path[1])))
            case "cookie":
                return dict(self.cookies()).get(str(path[0]))
            case "id":
                return self._id(str(path[0]))
            case "header":
                return next((value for name, value in self.headers if name.lower() == path[0]), None)
        return self._of_location(*path)

    def _of_location(self, part: str | int, at: str | int) -> str | None:
        pieces, query = self._location
        if part == "query":
            return query.get(str(at))
        return pieces[int(at)] if int(at) < len(pieces) else None

    def _id(self, name: str) -> str | int | None:
        """Return the id of the created object: by its *name*, by usual names of ids, or from ``Location``."""
        wanted = (name, "id", "uuid", "key", "slug")
        nested = self._json.values() if isinstance(self._json, dict) else ()
        for content in (self._json, *nested):
            for key in wanted if isinstance(content, dict) else ():
                if (found := _at(content, (key,))) is not None:
                    return found
        return next((piece for piece in reversed(self._location[0]) if piece), None)

    def behind(self, kind: str, path: Key) -> str | None:
        """Return the path segment before a segment in ``Location``."""
        if kind != "location" or path[0] != "path":
            return None
        return "/".join(("", *self._location[0][: int(path[1])]))

    def cookies(self) -> Iterator[tuple[str, str | None]]:
        """Yield the cookies that it sets; without a value, those that it deletes."""
        for name, value in self.headers:
            if name.lower() == "set-cookie":
                yield from map(cookie, value.split("\n"))  # a HAR file may have several in one

    @cached_property
    def _kind(self) -> str:
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")

    @cached_property
    def _json(self) -> Any:
        if "json" not in self._kind or len(self.body) > LARGEST:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def _fields(self) -> dict[tuple[str, int], str]:
        if "html" not in self._kind or len(self.body) > LARGEST:
            return {}
        parser = _Fields()
        parser.feed(self.body.decode("utf-8", "replace"))
        return parser.found

    @cached_property
    def _location(self) -> tuple[list[str], dict[str, str]]:
        url = next((value for name, value in self.headers if name.lower() == "location"), "")
        if not url:
            return [], {}
        try:
            parts = urlsplit(url)
        except ValueError:
            return [], {}
        return [unquote(one) for one in parts.path.split("/")[1:]], dict(parse_qsl(parts.query))


class _Fields(HTMLParser):
    """Collects form fields with a value, and the ``<meta>`` elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, int], str] = {}
        self._counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        value = given.get({"input": "value", "meta": "content"}.get(tag, ""))
        name = given.get("name")
        if name and value:
            at = self._counts[name] = self._counts.get(name, -1) + 1
            self.found[name, at] = value


def cookie(line: str) -> tuple[str, str | None]:
    """Return name and value of a ``Set-Cookie`` line; no value if it deletes a cookie."""
    name, value, options = parsed(line)
    return name, None if is_over(options) else value


def parsed(line: str) -> tuple[str, str, dict[str, str]]:
    """Return name, value and options of a ``Set-Cookie`` line."""
    pair, *rest = line.split(";")
    name, _, value = pair.partition("=")
    options = {key.strip().lower(): text.strip() for key, _, text in (one.partition("=") for one in rest)}
    return name.strip(), value.strip(), options


def is_over(options: dict[str, str]) -> bool:
    """Whether a cookie with these options is deleted."""
    age = options.get("max-age", "")
    if age.lstrip("-").isdecimal():
        return int(age) <= 0
    try:
        return "expires" in options and parsedate_to_datetime(options["expires"]).timestamp() <= LONG_AGO
    except (ValueError, TypeError):
        return False


def scalars(content: Any, path: Key = ()) -> Iterator[tuple[Key, str | int]]:
    """Yield the texts and whole numbers in JSON, each with its path."""
    match content:
        case dict():
            for name, value in content.items():
                yield from scalars(value, (*path, name))
        case list():
            for at, value in enumerate(content):
                yield from scalars(value, (*path, at))
        case bool():
            return
        case str() | int() if content != "":
            yield path, content


def _at(content: Any, path: Key) -> str | int | None:
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return None
    return content if isinstance(content, str | int) and not isinstance(content, bool) else None
