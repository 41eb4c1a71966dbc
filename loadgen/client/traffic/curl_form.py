"""The multipart form that curl makes from ``-F`` options, identical except for the boundary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TYPES = {
    ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png",
    ".svg": "image/svg+xml", ".txt": "text/plain", ".htm": "text/html", ".html": "text/html",
    ".pdf": "application/pdf", ".xml": "application/xml",
}  # fmt: skip
"""The types that curl derives from a file's name."""
_WORD = re.compile(r'\s*(?:"(?P<quoted>(?:\\.|[^"\\])*)"[^;,]*|(?P<plain>[^;]*))', re.DOTALL)
_FILE_WORD = re.compile(r'\s*(?:"(?P<quoted>(?:\\.|[^"\\])*)"[^;,]*|(?P<plain>[^;,]*))', re.DOTALL)
_TYPE = re.compile(r"\s*[^/ ;]+/[^;, \n]+")
_KNOWN = re.compile(r"(?:type|filename|encoder|headers)=")


class FormError(Exception):
    """A field is not valid, or not supported."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    content: bytes
    filename: str | None = None
    kind: str | None = None


def field(option: str, value: str, read: Callable[[str], bytes]) -> Field:
    """Return the field of ``-F value`` or ``--form-string value``; *read* returns a file's bytes.

    Raises:
        FormError: it cannot be understood.
    """
    name, equals, content = value.partition("=")
    if not equals:
        raise FormError(f"--{option} {value} has no value: write name=value")
    if option == "form-string":
        return Field(name, _bytes(content))
    match content[:1]:
        case "(" | ")":
            raise FormError(f"--form {value}: forms in forms are not supported")
        case "@" | "<":
            path, rest = _word(_FILE_WORD, content[1:])
            if rest.startswith(","):
                raise FormError(f"--form {value}: several files in one field are not supported")
            kind, filename = _parameters(value, rest, file=True)
            if content[0] == "<":
                if filename is not None:
                    kind = kind or _guessed(filename)
                return Field(name, read(path), filename, kind)
            shown = filename if filename is not None else path.rpartition("/")[2]
            kind = kind or _guessed(shown) or _guessed(path) or "application/octet-stream"
            return Field(name, read(path), shown, kind)
        case _:
            text, rest = _word(_WORD, content)
            kind, filename = _parameters(value, rest, file=False)
            if filename is not None:
                kind = kind or _guessed(filename)
            return Field(name, _bytes(text), filename, kind)


def multipart(fields: Iterable[Field], kind: str | None, *, backslashes: bool) -> tuple[bytes, str]:
    """Return a body of *fields*, and its type; *kind* is the type that the command sets itself.

    Equal forms have equal boundaries, so that a list is sent the same way each time.
    """
    every = list(fields)
    boundary = f"{'-' * 24}{sha256(repr(every).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    outer = "multipart/form-data" if kind is None else kind
    disposition = "form-data" if outer.lower().startswith("multipart/form-data") else "attachment"
    pieces = []
    for one in every:
        lines = [f"--{boundary}", f"Content-Disposition: {disposition}"]
        for key, text in (("name", one.name or None), ("filename", one.filename)):
            if text is not None:
                lines[1] += f'; {key}="{_escaped(text, backslashes=backslashes)}"'
        lines += [f"Content-Type: {one.kind}"] if one.kind else []
        pieces += [_bytes("\r\n".join((*lines, "", ""))), one.content, b"\r\n"]
    return b"".join((*pieces, f"--{boundary}--\r\n".encode())), f"{outer}; boundary={boundary}"


def _word(pattern: re.Pattern[str], text: str) -> tuple[str, str]:
    found = pattern.match(text)
    assert found
    if found["quoted"] is not None:
        return re.sub(r'\\(["\\])', r"\1", found["quoted"]), text[found.end() :]
    return found["plain"].rstrip(), text[found.end() :]


def _parameters(value: str, rest: str, *, file: bool) -> tuple[str | None, str | None]:
    """Return type and file name from the part after a field's content."""
    kind = filename = None
    word = _FILE_WORD if file else _WORD
    while rest.startswith(";"):
        rest = rest[1:].lstrip()
        known = _KNOWN.match(rest)
        match known and known[0]:
            case "type=":
                found = _TYPE.match(rest, known.end() if known else 0)
                if found is None:
                    raise FormError(f"--form {value}: the type is not name/name")
                kind, rest = _type(rest, found)
            case "filename=":
                filename, rest = _word(word, rest[9:])
            case None if not rest:
                pass
            case _:
                what = re.match(r"[^=;]*", rest)
                raise FormError(
                    f"--form {value}: {what[0] if what else rest!r} is not supported; "
                    "--form-string takes a value as it is"
                )
    if rest:
        raise FormError(f"--form {value}: several files in one field are not supported")
    return kind, filename


def _type(rest: str, found: re.Match[str]) -> tuple[str, str]:
    """Return a type with its parameters, and the rest."""
    end = found.end()
    while rest[end : end + 1] == ";" and not _KNOWN.match(rest[end + 1 :].lstrip()):
        end = len(rest) if (more := rest.find(";", end + 1)) < 0 else more
    return rest[5:end].strip(), rest[end:].lstrip()


def _guessed(name: str) -> str | None:
    lower = name.lower()
    return next((kind for ending, kind in _TYPES.items() if lower.endswith(ending)), None)


def _escaped(text: str, *, backslashes: bool) -> str:
    if backslashes:
        return text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
