"""Requests of a HAR file, as browsers and ``loadgen export --har`` write it.

Played are the requests to the host of the first one, in the order in which they were sent. Left out, and
told, is what a browser sent elsewhere, took from its cache, or did over a WebSocket.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from loadgen.client.traffic.call import CONNECTION, Call, split, unwired, wire
from loadgen.core.masking import MASK
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

FORM = "application/x-www-form-urlencoded"


class _EntryError(Exception):
    """An entry is not what it should be."""


def parse(file: Path, content: bytes) -> tuple[list[Call], list[str]]:
    """Return the requests of *content*, and what a user should know about them.

    Raises:
        UsageError: it is no HAR file, or a request in it cannot be sent as it was.
    """
    try:
        entries = json.loads(content.decode("utf-8-sig"))["log"]["entries"]
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}, line {error.lineno}: no JSON: {error.msg}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{file} is no HAR file: it has no log.entries",
            advice="Export it by the network panel of a browser's developer tools, or loadgen export --har.",
        ) from error
    found: list[tuple[datetime, Call]] = []
    left_out: Counter[str] = Counter()
    host, masked = None, 0
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        try:
            scheme, authority, call = _call(entry)
        except _EntryError as error:
            raise UsageError(f"{file}, entry {number}: {error}", advice="Correct it, or remove it.") from None
        if scheme not in {"http", "https"}:
            left_out[f"{scheme or 'no'} URLs"] += 1
        elif entry.get("_fromCache"):
            left_out["from the browser's cache"] += 1
        elif authority != (host := host or authority):
            left_out[f"to {authority}"] += 1
        else:
            masked += MASK in repr(call)
            found.append((_when(entry), call))
    if not found:
        raise UsageError(f"{file} has no request to play", advice=_told(left_out))
    found.sort(key=lambda one: one[0])
    notes = [_told(left_out)] if left_out else []
    if masked:
        notes.append(f"{masked} requests hold {MASK} in place of a secret, and are sent so.")
    return [call for _, call in found], notes


def dump(calls: list[Call]) -> bytes:
    """Return a HAR file of which :func:`parse` makes *calls* again: for a load generator elsewhere."""
    entries = [
        {
            "request": {
                "method": call.method,
                "url": f"http://target{call.target}",
                "headers": [{"name": unwired(name), "value": unwired(value)} for name, value in call.headers],
                "bodySize": len(call.body),
                "postData": {"text": base64.b64encode(call.body).decode(), "encoding": "base64"},
            },
            "_loadgen": {"user": call.user, "follow": call.follow},
        }
        for call in calls
    ]
    return json.dumps({"log": {"version": "1.2", "entries": entries}}).encode()


def _call(entry: Any) -> tuple[str, str, Call]:
    """Return an entry's scheme, host, and request."""
    match entry:
        case {"request": {"method": str(method), "url": str(url), "headers": [*pairs]} as request}:
            pass
        case _:
            raise _EntryError("it has no request with method, url and headers")
    scheme, authority, target = split(url)
    headers = []
    for pair in pairs:
        match pair:
            case {"name": str(name), "value": str(value)}:
                if name.lower() not in CONNECTION and not name.startswith(":"):  # HTTP/2's own fields
                    headers.append((wire(name), wire(value)))
            case _:
                raise _EntryError("a header is no name and value")
    own: dict[str, Any] = entry.get("_loadgen", {})
    if not isinstance(own, dict):
        raise _EntryError("its _loadgen is no object")
    user = own.get("user", 0)
    return (
        scheme,
        authority,
        Call(
            method,
            target,
            tuple(headers),
            _body(method, url, request),
            user if isinstance(user, int) else 0,
            own.get("follow") is True,
        ),
    )


def _body(method: str, url: str, request: dict[str, Any]) -> bytes:
    data = request.get("postData") or {}
    match data:
        case {"text": str(text)} if text or not data.get("params"):
            if "base64" in (data.get("encoding"), data.get("comment")):
                try:
                    return base64.b64decode(text, validate=True)
                except ValueError as error:
                    raise _EntryError(f"the body of {method} {url} is no base64") from error
            return text.encode("utf-8", "surrogatepass")
        case {"mimeType": str(kind), "params": [*fields]} if kind.partition(";")[0].strip().lower() == FORM:
            return urlencode(
                [(str(one.get("name", "")), str(one.get("value", ""))) for one in fields]
            ).encode()
        case {"params": [_, *_]}:
            raise _EntryError(f"the body of {method} {url} is kept as fields only, not as its bytes")
    size = request.get("bodySize", 0)
    if isinstance(size, int) and size > 0:
        raise _EntryError(f"the {size} bytes of the body of {method} {url} are not in the file")
    return b""


def _when(entry: dict[str, Any]) -> datetime:
    try:
        when = datetime.fromisoformat(entry["startedDateTime"])
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def _told(left_out: Counter[str]) -> str:
    what = ", ".join(f"{count} {which}" for which, count in left_out.most_common())
    return f"Left out: {what}." if what else "It has no entries."
