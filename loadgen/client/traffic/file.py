"""Reads a file of requests of any supported kind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from loadgen.client.traffic import carried, curl, har, openapi, postman
from loadgen.client.traffic.call import Notes
from loadgen.client.traffic.hosts import chosen
from loadgen.client.traffic.kinds import refuse_json, refuse_text
from loadgen.client.traffic.links import lacks_cookies, link, with_jar
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
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        return _json(file, content, hosts, verbatim=verbatim)
    text = content.decode("utf-8-sig", "replace")
    if file.suffix.lower() in {".yaml", ".yml"} or re.search(
        r"\A(?:openapi|swagger)\s*:", text, re.MULTILINE
    ):
        return _yaml(file, content)
    refuse_text(file, text)
    found, notes = curl.parse(file, content)
    calls = chosen(found, hosts, notes)
    if not calls:
        raise UsageError(f"{file} has no request to send", advice="\n  ".join(notes.lines()))
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
    if openapi.is_openapi(parsed):
        return openapi.parse(file, parsed)
    if postman.is_collection(parsed):
        notes = Notes()
        calls = chosen(postman.parse(file, parsed, notes), hosts, notes)
        return calls, notes.lines()
    raise refuse_json(file, parsed)


def _yaml(file: Path, content: bytes) -> tuple[list[Call], list[str]]:
    """Read an OpenAPI document in YAML."""
    try:
        import yaml  # noqa: PLC0415 - it comes with an extra
    except ImportError:
        raise UsageError(
            f"{file} is YAML, and PyYAML is not installed", advice="Install it: pip install pyyaml"
        ) from None
    try:
        parsed = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not YAML: {error}") from error
    if openapi.is_openapi(parsed):
        return openapi.parse(file, json.loads(json.dumps(parsed, default=str)))
    refuse_text(file, content.decode("utf-8-sig", "replace"))
    raise refuse_json(file, parsed)


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
