"""Requests of a HAR file, as browsers and ``loadgen export --har`` write it.

Requests to the host of the first one are sent, in their original order. Requests to other hosts, from the
browser's cache, blocked, or over a WebSocket are left out and counted.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus

from loadgen.client.traffic.answers import Answer
from loadgen.client.traffic.call import TOKEN, Call, Notes, split, unwired, wire, without_connection
from loadgen.client.traffic.har_body import BodyError, body, encodings
from loadgen.client.traffic.hosts import Hosts
from loadgen.core.masking import MASK
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from loadgen.core.exchange import Headers

_BODY_SIZE = "{n} with a body to which the file gives a bodySize of 0: the body is sent."
_MASKED = "{n} with " + MASK + " in place of a secret: sent so."
_TYPE = "The type of the body of {n} is not among its headers: sent as Content-Type."
_OTHER_VERSIONS = frozenset({"http/1.0", "http/2", "http/2.0", "h2", "http/3", "http/3.0", "h3"})
_BROWSERS = ("WebInspector", "Firefox", "WebKit Web Inspector")
"""Names of browsers as creators of a file."""
_SWITCHING = 101
_QUERY = "{n} with a queryString that is not that of the URL: the URL's is sent."
_COOKIES = "{n} with cookies that are not those of the Cookie header: the header is sent."
_CREDENTIALS = "{n} with credentials in the URL and no Authorization header: sent without them."
_VERSION = "{n} not of HTTP/1.1, by the file: sent as HTTP/1.1."
_READABLE = "A URL of {n} held characters that no URL may: sent percent-encoded."


class _EntryError(Exception):
    """An entry is not valid."""


@dataclass(frozen=True, slots=True)
class Har:
    """The requests of a file that are sent."""

    calls: list[Call]
    answers: list[Answer | None]
    """The recorded answer to each, if the file has it."""
    notes: Notes
    is_browsers: bool
    """Whether a browser wrote it."""


def parse(file: Path, content: dict[str, Any], hosts: Sequence[str] = ()) -> Har:
    """Return the requests of the parsed *content*, with notes for the user.

    Raises:
        UsageError: a request cannot be sent unchanged.
    """
    entries = content["log"]["entries"]
    found: list[tuple[datetime, Call, Answer | None]] = []
    notes = Notes()
    wanted = Hosts(hosts, notes)
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        try:
            method, url, request = _request(entry)
            scheme, authority, _ = split(url)
            if why := _not_sent(scheme, method, entry):
                notes.left_out[why] += 1
            elif wanted.play(authority):
                call = _call(method, url, request, _own(entry), notes)
                notes.more[_MASKED] += MASK in repr(call)
                found.append((_when(entry), call, _answer(entry.get("response"))))
        except (_EntryError, BodyError) as error:
            raise UsageError(f"{file}, entry {number}: {error}", advice="Correct it, or remove it.") from None
    if not found:
        raise UsageError(
            f"{file} has no request to send", advice="\n  ".join(notes.lines()) or "It has no entries."
        )
    found.sort(key=lambda one: one[0])
    creator = content["log"].get("creator")
    name = creator.get("name") if isinstance(creator, dict) else None
    return Har([one[1] for one in found], [one[2] for one in found], notes, name in _BROWSERS)


def _request(entry: Any) -> tuple[str, str, dict[str, Any]]:
    match entry:
        case {"request": {"method": str(method), "url": str(url)} as request}:
            return method, url, request
    raise _EntryError("it has no request with a method and a URL")


def _not_sent(scheme: str, method: str, entry: dict[str, Any]) -> str:
    """Return why an entry is not a request to a server; empty if it is one."""
    if _is_web_socket(scheme, entry):
        return "over WebSockets"
    if scheme not in {"http", "https"}:
        return f"with {scheme}: URLs" if scheme else "without a scheme in their URL"
    if entry.get("_fromCache"):
        return "from the browser's cache"
    answer = entry.get("response")
    error = answer.get("_error") if isinstance(answer, dict) else None
    if isinstance(error, str) and "BLOCKED_BY" in error:
        return "blocked by the browser"
    return "of a proxy (CONNECT)" if method == "CONNECT" else ""


def _is_web_socket(scheme: str, entry: dict[str, Any]) -> bool:
    answer = entry.get("response")
    headers = entry["request"].get("headers")
    upgrades = isinstance(headers, list) and any(
        isinstance(one, dict)
        and str(one.get("name")).lower() == "upgrade"
        and str(one.get("value")).lower() == "websocket"
        for one in headers
    )
    return (
        scheme in {"ws", "wss"}
        or "_webSocketMessages" in entry
        or entry.get("_resourceType") == "websocket"
        or (isinstance(answer, dict) and answer.get("status") == _SWITCHING)
        or upgrades
    )


def _own(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the data that ``loadgen export`` adds to an entry."""
    own = entry.get("_loadgen", {})
    if not isinstance(own, dict):
        raise _EntryError("its _loadgen is not an object")
    return own


def _call(method: str, url: str, request: dict[str, Any], own: dict[str, Any], notes: Notes) -> Call:
    """Return the request of an entry."""
    if not TOKEN.fullmatch(method):
        raise _EntryError(f"{method!r} is not a method")
    _, authority, target = split(url)
    headers = _headers(request, is_exact=bool(own))
    sent, doubtful = body(request, headers)
    notes.more[_BODY_SIZE] += doubtful
    if sent and not own and (kind := _type(request, headers)):
        headers += (("Content-Type", wire(kind)),)
        notes.more[_TYPE] += 1
    notes.more[_READABLE] += target not in url
    notes.more[_CREDENTIALS] += "@" in authority and not any(
        name.lower() == "authorization" for name, _ in headers
    )
    if fields := request.get("queryString"):
        pairs = _pairs(fields, "field of its queryString")
        if "?" not in url.partition("#")[0]:
            target += f"?{_query(pairs)}"
        else:
            notes.more[_QUERY] += not _same(target.partition("?")[2].split("&"), pairs)
    sent_cookies = [one for name, value in headers if name.lower() == "cookie" for one in value.split(";")]
    if sent_cookies and (fields := request.get("cookies")) and not own:
        notes.more[_COOKIES] += not _same(map(str.strip, sent_cookies), _pairs(fields, "cookie"))
    notes.more[_VERSION] += str(request.get("httpVersion")).lower() in _OTHER_VERSIONS
    user = own.get("user", 0)
    return Call(
        method,
        target,
        without_connection(headers, authority, len(sent), notes),
        sent,
        user if isinstance(user, int) else 0,
    )


def _headers(request: dict[str, Any], *, is_exact: bool) -> Headers:
    """Return the headers as sent; HTTP/2's several cookie fields become one for HTTP/1.1."""
    headers: list[tuple[str, str]] = []
    cookies: int | None = None
    pairs = request.get("headers")
    for name, value in _pairs(pairs if pairs is not None else [], "header"):
        if name.startswith(":"):  # pseudo-headers of HTTP/2
            continue
        if not TOKEN.fullmatch(name) and name.isascii():
            raise _EntryError(f"{name!r} is not a header's name")
        if {"\r", "\n", "\0"} & {*value}:
            raise _EntryError(f"the header {name} has more than one line")
        if name.lower() == "cookie" and cookies is not None and not is_exact:
            headers[cookies] = (headers[cookies][0], f"{headers[cookies][1]}; {wire(value)}")
            continue
        if name.lower() == "cookie":
            cookies = len(headers)
        headers.append((wire(name), wire(value)))
    if cookies is None and (given := request.get("cookies")):
        text = "; ".join(f"{name}={value}" for name, value in _pairs(given, "cookie"))
        headers.append(("Cookie", wire(text)))
    return tuple(headers)


def _type(request: dict[str, Any], headers: Headers) -> str:
    """Return the type of the body, if it stands beside the body only, and not in a header."""
    if any(name.lower() == "content-type" for name, _ in headers):
        return ""
    match request.get("postData"):
        case {"mimeType": str(kind)} if "\r" not in kind and "\n" not in kind:
            return kind
    return ""


def _pairs(given: Any, what: str) -> list[tuple[str, str]]:
    if not isinstance(given, list):
        raise _EntryError(f"its {what}s are not a list")
    found = []
    for pair in given:
        match pair:
            case {"name": str(name), "value": str(value)}:
                found.append((name, value))
            case _:
                raise _EntryError(f"a {what} is not a name and a value")
    return found


def _query(fields: list[tuple[str, str]]) -> str:
    return split(f"/?{encodings(fields)[0]}")[2][2:]


def _same(sent: Iterable[str], fields: list[tuple[str, str]]) -> bool:
    """Whether *fields* are the pairs that were *sent*, encoded or decoded in one of the usual ways."""
    pairs = [pair.partition("=")[::2] for pair in sent if pair]
    given = [(name, value) for name, value in fields if name or value]
    return len(pairs) == len(given) and all(
        _readings(unwired(text)) & _readings(kept)
        for pair, field in zip(pairs, given, strict=True)
        for text, kept in zip(pair, field, strict=True)
    )


def _readings(text: str) -> set[str]:
    return {
        text,
        *(read(text, coding) for read in (unquote, unquote_plus) for coding in ("utf-8", "latin-1")),
    }


def _answer(response: Any) -> Answer | None:
    """Return the recorded answer to a request; None if it is damaged, because nothing of it is sent."""
    try:
        headers = [(str(one["name"]), str(one["value"])) for one in response.get("headers", [])]
        if not any(name.lower() == "set-cookie" for name, _ in headers):
            headers += [
                ("Set-Cookie", f"{one['name']}={one['value']}") for one in response.get("cookies", [])
            ]
        content = response.get("content", {})
        text = str(content.get("text") or "")
        is_base64 = "base64" in (content.get("encoding"), content.get("comment"))
        body = base64.b64decode(text) if is_base64 else text.encode("utf-8", "surrogatepass")
    except (AttributeError, TypeError, KeyError, ValueError):
        return None
    return Answer(tuple(headers), body)


def _when(entry: dict[str, Any]) -> datetime:
    try:
        when = datetime.fromisoformat(entry["startedDateTime"])
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
