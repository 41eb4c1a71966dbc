"""Reads a file of requests, whatever kind of file it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadgen.client.traffic import carried, curl, har
from loadgen.client.traffic.hosts import chosen
from loadgen.client.traffic.links import lacks_cookies, link, with_jar
from loadgen.core.masking import MASK
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.client.traffic.call import Call


def read(file: Path, hosts: Sequence[str] = (), *, verbatim: bool = False) -> tuple[list[Call], list[str]]:
    """Return the requests of *file* that go to *hosts*, and what a user should know about the file.

    Unless *verbatim*, values that come from earlier answers are carried over.

    Raises:
        UsageError: it cannot be read, or is of no known kind; the message says where and why.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        return _json(file, content, hosts, verbatim=verbatim)
    found, notes = curl.parse(file, content)
    calls = chosen(found, hosts, notes)
    if not calls:
        raise UsageError(f"{file} has no request to play", advice="\n  ".join(notes.lines()))
    return calls, notes.lines()


def _json(
    file: Path, content: bytes, hosts: Sequence[str], *, verbatim: bool
) -> tuple[list[Call], list[str]]:
    try:
        parsed: Any = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}, line {error.lineno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON: {error}") from error
    match parsed:
        case {"log": {"entries": _}}:
            return _har(har.parse(file, parsed, hosts), verbatim=verbatim)
        case {"format": carried.FORMAT}:
            return carried.load(parsed), []
    raise UsageError(
        f"{file} is not a HAR file: it has no log.entries",
        advice="Export it by the network panel of a browser's developer tools, or loadgen export --har.",
    )


def _har(found: har.Har, *, verbatim: bool) -> tuple[list[Call], list[str]]:
    calls, notes = found.calls, found.notes.lines()
    if verbatim:
        return calls, notes
    if lacks_cookies(calls) and (found.is_browsers or any(MASK in note for note in notes)):
        calls = with_jar(calls)
        notes.append(
            "The file has no cookies (browsers leave them out of an export, unless asked): those that the "
            "answers set are sent. --verbatim sends none."
        )
    calls, more = link(calls, found.answers)
    return calls, notes + more
