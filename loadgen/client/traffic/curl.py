"""Requests of a list of curl commands, as "Copy as cURL" gives them; curl itself is not needed.

An option that changes the request is followed; one that changes only how curl connects, waits or prints is
passed over; any other is an error that names it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from getopt import GetoptError, gnu_getopt
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urljoin

import httpx

from loadgen.client.traffic.call import CONNECTION, Call, split, wire
from loadgen.client.traffic.shell import ShellError, Word, commands
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_VALUES = {
    "request": "X", "header": "H", "data": "d", "data-ascii": "", "data-raw": "", "data-binary": "",
    "data-urlencode": "", "json": "", "form": "F", "form-string": "", "cookie": "b", "user": "u",
    "user-agent": "A", "referer": "e", "oauth2-bearer": "", "url": "", "range": "r",
}  # fmt: skip
_FLAGS = {
    "get": "G",
    "head": "I",
    "compressed": "",
    "location": "L",
    "location-trusted": "",
    "globoff": "g",
    "path-as-is": "",
}
_VALUES_PASSED_OVER = {
    "output": "o", "write-out": "w", "max-time": "m", "connect-timeout": "", "proxy": "x", "noproxy": "",
    "resolve": "", "connect-to": "", "interface": "", "retry": "", "retry-delay": "", "retry-max-time": "",
    "cacert": "", "cert": "E", "key": "", "ciphers": "", "dump-header": "D", "max-redirs": "", "stderr": "",
    "limit-rate": "", "cookie-jar": "c", "proxy-user": "U", "keepalive-time": "", "expect100-timeout": "",
    "speed-limit": "Y", "speed-time": "y",
}  # fmt: skip
_FLAGS_PASSED_OVER = {
    "insecure": "k", "silent": "s", "show-error": "S", "verbose": "v", "include": "i", "fail": "f",
    "fail-with-body": "", "http1.0": "0", "http1.1": "", "http2": "", "http2-prior-knowledge": "",
    "http3": "", "progress-bar": "#", "no-progress-meter": "", "no-buffer": "N",
    "remote-name": "O", "ipv4": "4", "ipv6": "6", "tlsv1": "1", "tlsv1.2": "", "tlsv1.3": "",
    "no-keepalive": "", "tcp-nodelay": "", "disable": "q", "show-headers": "", "remote-header-name": "J",
    "create-dirs": "", "ssl": "", "no-alpn": "", "no-sessionid": "", "retry-connrefused": "",
    "retry-all-errors": "",
}  # fmt: skip
_LONG = [f"{name}=" for name in (*_VALUES, *_VALUES_PASSED_OVER)] + [*_FLAGS, *_FLAGS_PASSED_OVER]
_SHORT = "".join(
    f"{short}:" for short in (*_VALUES.values(), *_VALUES_PASSED_OVER.values()) if short
) + "".join((*_FLAGS.values(), *_FLAGS_PASSED_OVER.values()))
_NAMES = {
    f"-{short}": f"--{name}"
    for table in (_VALUES, _FLAGS, _VALUES_PASSED_OVER, _FLAGS_PASSED_OVER)
    for name, short in table.items()
    if short
}
_HEADERS = {
    "--header": "", "--user-agent": "User-Agent: ", "--referer": "Referer: ", "--range": "Range: bytes=",
    "--oauth2-bearer": "Authorization: Bearer ", "--cookie": "Cookie: ",
}  # fmt: skip
_DATA = {"--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json"}
FOR_BASH = "Commands copied for Windows (cmd, PowerShell) are not understood: copy them for bash."


class _CommandError(Exception):
    """A command cannot be played."""


@dataclass(slots=True)
class _Command:
    """What the options of one command come to."""

    folder: Path
    """Where files that it names are looked for."""
    urls: list[str] = field(default_factory=list)
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    """Headers that must not be sent, in lower case."""
    data: list[bytes] | None = None
    form: list[tuple[str, tuple[str | None, bytes] | tuple[str | None, bytes, str]]] = field(
        default_factory=list
    )
    flags: set[str] = field(default_factory=set)

    def take(self, option: str, value: str) -> None:
        """Follow one option."""
        match option:
            case "--url":
                self.urls.append(value)
            case "--request":
                self.method = value
            case "--user":
                self.authorize(value)
            case "--cookie" if "=" not in value:
                raise _CommandError(f"--cookie {value} names a file: write the cookies, name=value")
            case "--form" | "--form-string":
                self._field(value, literally=option == "--form-string")
            case _ if option in _HEADERS:
                self._header(_HEADERS[option] + value)
            case _ if option in _DATA:
                self._data(option, value)
            case _:
                self.flags.add(option)

    def authorize(self, user: str) -> None:
        """Add Basic authentication."""
        if ":" not in user:
            raise _CommandError(f"--user {user} has no password: write name:password")
        self._header(f"Authorization: Basic {base64.b64encode(_bytes(user)).decode()}")

    def _header(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if colon and value.strip():
            self.headers.append((name.strip(), value.strip()))
        elif colon:
            self.absent.add(name.strip().lower())
        elif name.endswith(";"):
            self.headers.append((name[:-1].strip(), ""))
        else:
            raise _CommandError(f"the header {line!r} has no colon")

    def _data(self, option: str, value: str) -> None:
        if option == "--data-raw":
            piece = _bytes(value)
        elif option == "--data-urlencode":
            piece = self._urlencoded(value)
        elif value.startswith("@"):
            piece = self._read(value[1:])
            if option not in {"--data-binary", "--json"}:
                piece = piece.translate(None, b"\r\n\0")
        else:
            piece = _bytes(value)
        if option == "--json":
            self.flags.add("--json")
            self.data = [b"".join((*(self.data or ()), piece))]
        else:
            self.data = [*(self.data or ()), piece]

    def _urlencoded(self, value: str) -> bytes:
        name, mark, content = re.fullmatch(r"(?s)([^=@]*)([=@]?)(.*)", value).groups()  # type: ignore[union-attr]
        if not mark:
            name, content = "", value
        read = self._read(content) if mark == "@" else _bytes(content)
        return (f"{name}=" if name else "").encode() + quote_plus(read).encode()

    def _field(self, value: str, *, literally: bool) -> None:
        name, equals, content = value.partition("=")
        if not equals:
            raise _CommandError(f"--form {value} has no value: write name=value")
        if literally or content[:1] not in {"@", "<"}:
            kind = None if literally else re.search(r";type=([^;]+)$", content)
            text = _bytes(content[: kind.start()] if kind else content)
            self.form.append((name, (None, text, kind[1]) if kind else (None, text)))
            return
        file, *options = content[1:].split(";")
        given = dict(one.strip().partition("=")[::2] for one in options)
        if unknown := given.keys() - {"type", "filename"}:
            raise _CommandError(f"--form {value}: {min(unknown)!r} is not supported")
        shown = given.get("filename", file.rpartition("/")[2]).strip('"') if content[0] == "@" else None
        body = self._read(file.strip('"'))
        kind_of_file = given.get("type", "application/octet-stream" if shown else "")
        self.form.append((name, (shown, body, kind_of_file) if kind_of_file else (shown, body)))

    def _read(self, name: str) -> bytes:
        if name == "-":
            raise _CommandError("it takes a body from standard input: name a file")
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise _CommandError(f"{self.folder / name} cannot be read: {error.strerror}") from error

    def calls(self) -> list[Call]:
        """Return the requests, one of each URL."""
        if not self.urls:
            raise _CommandError("it has no URL")
        if self.data is not None and self.form:
            raise _CommandError("--data and --form exclude each other")
        return [self._call(url) for url in self.urls]

    def _call(self, url: str) -> Call:
        if "--globoff" not in self.flags and re.search(r"\[[^]]*-[^]]*\]|\{[^}]*,[^}]*\}", url):
            raise _CommandError(f"{url} stands for several: write them out, or give --globoff")
        scheme, authority, target = split(url)
        if scheme not in {"", "http", "https"}:
            raise _CommandError(f"{url} is no HTTP URL")
        if "--path-as-is" not in self.flags and "/." in target.partition("?")[0] and target[:2] != "//":
            target = urljoin("http://target/", target).removeprefix("http://target")
        user = authority.rpartition("@")[0]
        if user and not self._has("authorization"):
            self.authorize(user)
        data = (
            None
            if self.data is None
            else b"".join(self.data)
            if "--json" in self.flags
            else b"&".join(self.data)
        )
        default = "HEAD" if "--head" in self.flags else "GET"
        extra: list[tuple[str, str]] = [("User-Agent", "curl"), ("Accept", "*/*")]
        if "--compressed" in self.flags:
            extra.append(("Accept-Encoding", "deflate, gzip"))
        body = b""
        if data is not None and "--get" in self.flags:
            target += ("&" if "?" in target else "?") + quote(data, safe="".join(map(chr, range(33, 127))))
        elif data is not None:
            default, body = "POST", data
            if "--json" in self.flags:
                extra[1] = ("Accept", "application/json")
            kind = "application/json" if "--json" in self.flags else "application/x-www-form-urlencoded"
            extra.append(("Content-Type", kind))
        elif self.form:
            default = "POST"
            body, kind = _multipart(self.form)
            extra.append(("Content-Type", kind))
        headers = [(name, value) for name, value in extra if not self._has(name.lower())]
        headers += [pair for pair in self.headers if pair[0].lower() not in CONNECTION]
        return Call(
            wire(self.method) or default,
            target,
            tuple((wire(name), wire(value)) for name, value in headers if name.lower() not in self.absent),
            body,
            follow=bool(self.flags & {"--location", "--location-trusted"}),
        )

    def _has(self, name: str) -> bool:
        return any(found.lower() == name for found, _ in self.headers)


def parse(file: Path, content: bytes) -> list[Call]:
    """Return the requests of *content*; files that a command names are looked for beside *file*.

    Raises:
        UsageError: a line is no curl command, or one that cannot be played; the message says which and why.
    """
    text = content.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    calls: list[Call] = []
    try:
        for words in commands(text):
            calls += _command(file, words)
    except ShellError as error:
        raise UsageError(f"{file}, line {error.line}: {error}", advice=FOR_BASH) from None
    if not calls:
        raise UsageError(
            f"{file} has no request to play", advice="Write a curl command a line, or give a HAR file."
        )
    return calls


def _command(file: Path, words: list[Word]) -> list[Call]:
    first, *rest = words[1:] if words[0].text == "$" else words  # a prompt that was copied along
    if first.text != "curl" and not first.text.endswith("/curl"):
        raise UsageError(
            f"{file}, line {first.line}: {first.text!r} is no curl command",
            advice="Write a curl command a line; put a URL with & in it into quotes.",
        )
    if any(word.text.startswith("^") for word in rest):
        raise UsageError(f"{file}, line {first.line}: it was copied for Windows (cmd)", advice=FOR_BASH)
    command = _Command(file.absolute().parent)
    line = first.line
    try:
        options, urls = gnu_getopt([word.text for word in rest], _SHORT, _LONG)
        for option, value in options:
            command.take(_NAMES.get(option, option), value)
        command.urls += urls
        return command.calls()
    except GetoptError as error:
        dashed = f"-{error.opt}" if len(error.opt) == 1 else f"--{error.opt}"
        line = next((word.line for word in rest if word.text.startswith(dashed)), line)
        known = f"{error.opt}=" in _LONG or f"-{error.opt}" in _NAMES
        what = "has no value" if known else "is not supported"
        raise UsageError(
            f"{file}, line {line}: curl's {dashed} {what}",
            advice="Remove it, or write the request in a scenario file: see docs/scenarios.md.",
        ) from None
    except _CommandError as error:
        raise UsageError(f"{file}, line {line}: {error}", advice="Correct the command.") from None


def _multipart(
    form: list[tuple[str, tuple[str | None, bytes] | tuple[str | None, bytes, str]]],
) -> tuple[bytes, str]:
    """Return a body of *form*, and its type. The same form has the same boundary: a list is played alike."""
    boundary = f"------------------------{sha256(repr(form).encode()).hexdigest()[:16]}"
    kind = f"multipart/form-data; boundary={boundary}"
    return httpx.Request("POST", "http://target", headers={"Content-Type": kind}, files=form).read(), kind


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
