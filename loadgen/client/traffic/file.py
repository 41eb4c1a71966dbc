"""Reads a file of requests of any supported kind."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from loadgen.client.traffic import carried, curl, har, openapi, postman
from loadgen.client.traffic.call import Notes
from loadgen.client.traffic.documents import YAML, looks_like_json, parsed
from loadgen.client.traffic.hosts import chosen
from loadgen.client.traffic.kinds import refuse_json, refuse_text
from loadgen.client.traffic.links import lacks_cookies, link, listed, with_jar
from loadgen.core.masking import MASK
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.client.traffic.call import Call


_WRONG_VALUES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code raises that finds a number in place of a list, a text that cannot be encoded, and so on. Where a
format is read, only what it explains better is checked before."""
_BREAK = re.compile(r"[\r\n\0]")


def read(file: Path, hosts: Sequence[str] = (), *, verbatim: bool = False) -> tuple[list[Call], list[str]]:
    """Return the requests of *file* that go to *hosts*, and notes for the user.

    Unless *verbatim*, values from earlier answers are replaced by current ones.

    Raises:
        UsageError: it cannot be read, or is of an unknown kind; the message says where and why.
    """
    try:
        calls, notes = _read(file, hosts, verbatim=verbatim)
    except _WRONG_VALUES as error:
        raise UsageError(
            f"{file} has a value of a kind that does not belong there: {type(error).__name__}: {error}",
            advice="Check the file with a tool for its format, or export it again.",
        ) from error
    for call in calls:
        for name, value in call.headers:
            if found := _BREAK.search(name + value):
                raise UsageError(
                    f"{file}: {call.method} {call.target} has {found[0]!r} in its header {name!r}",
                    advice="HTTP cannot send that: remove it from the file.",
                )
    return calls, notes


def _read(file: Path, hosts: Sequence[str], *, verbatim: bool) -> tuple[list[Call], list[str]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    text = content.decode("utf-8-sig", "replace")
    is_yaml = file.suffix.lower() in YAML or re.search(r"\A(?:openapi|swagger)\s*:", text, re.MULTILINE)
    if is_yaml or looks_like_json(content):
        return _document(file, content, hosts, verbatim=verbatim)
    refuse_text(file, text)
    found, notes = curl.parse(file, content)
    calls = chosen(found, hosts, notes)
    if not calls:
        raise UsageError(f"{file} has no request to send", advice="\n  ".join(notes.lines()))
    return calls, notes.lines()


def _document(
    file: Path, content: bytes, hosts: Sequence[str], *, verbatim: bool
) -> tuple[list[Call], list[str]]:
    document = parsed(file, content)
    match document:
        case {"log": {"entries": _}}:
            return _har(har.parse(file, document, hosts), verbatim=verbatim)
        case {"format": carried.FORMAT}:
            return carried.load(document), []
    if openapi.is_openapi(document):
        calls, told = openapi.parse(file, document)
        return _bound(calls, told, verbatim=verbatim)
    if postman.is_collection(document):
        notes = Notes()
        calls = chosen(postman.parse(file, document, notes), hosts, notes)
        return _bound(calls, notes.lines(), verbatim=verbatim)
    if not looks_like_json(content):
        refuse_text(file, content.decode("utf-8-sig", "replace"))
    raise refuse_json(file, document)


def _bound(calls: list[Call], notes: list[str], *, verbatim: bool) -> tuple[list[Call], list[str]]:
    """Return *calls* with a note about their links to answers, or without links."""
    if verbatim:
        return [replace(call, bound=()) for call in calls], notes
    return calls, [*notes, *listed(dict(enumerate(calls)))]


def _har(found: har.Har, *, verbatim: bool) -> tuple[list[Call], list[str]]:
    calls, notes = found.calls, found.notes.lines()
    if verbatim:
        return calls, notes
    if lacks_cookies(calls) and (found.is_browsers or any(MASK in note for note in notes)):
        calls = with_jar(calls)
        notes.append(
            "The file has no cookies, or masked ones (an export leaves them out, unless asked): those that "
            "the answers set are sent. --verbatim sends the file as it is."
        )
        notes = [note for note in notes if MASK not in note or MASK in repr(calls)]
    calls, more = link(calls, found.answers)
    return calls, notes + more
