"""Requests of a list of curl commands, as "Copy as cURL" gives them; curl itself is not needed.

Options that change the request are supported; options about connecting, waiting or printing are ignored; any
other option is an error. The request is the one that curl sends, header by header.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_to_bytes

from loadgen.client.traffic import curl_form
from loadgen.client.traffic.call import TOKEN, Call, Jar, Notes, Redirects, wire, without_connection
from loadgen.client.traffic.curl_options import options
from loadgen.client.traffic.shell import ShellError, Word, commands
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadgen.client.traffic.hosts import Found
    from loadgen.core.exchange import Headers

AGENT = "curl/8.5.0"
"""Default User-Agent."""
REDIRECTS = 50
"""Default limit of redirects."""
EXPECTS = 1 << 20
"""Largest body that curl sends at once, without an ``Expect`` before it, in bytes."""
FORM = "application/x-www-form-urlencoded"
FOR_BASH = "Commands copied for Windows (cmd, PowerShell) are not understood: copy them for bash."
_POST_AGAIN = {301: "post301", 302: "post302", 303: "post303"}
_JSON = (("Content-Type", "application/json"), ("Accept", "application/json"))
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_SEVERAL = re.compile(r"[{}]|\[(?!\])|(?<!\[)\]|\\[\[\]{}]")
_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):/{1,3})?(?:(?P<user>[^/?#]*)@)?"
    r"(?P<host>\[[^\]/?#]*\](?::\d*)?|[^/?#\[\]]+)(?P<path>[^?#]*)(?P<query>\?[^#]*)?"
)


class _CommandError(Exception):
    """A command cannot be sent."""


@dataclass(slots=True)
class _Command:
    """The options of one command."""

    folder: Path
    """Folder for relative file names."""
    jars: frozenset[str]
    """Files to which earlier commands wrote cookies."""
    urls: list[str] = field(default_factory=list)
    single: dict[str, str] = field(default_factory=dict)
    """Options for which the last one counts."""
    flags: set[str] = field(default_factory=set)
    headers: list[tuple[str, str]] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    """Lower-case names of curl's own headers that are not sent."""
    cookies: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    """Files to read cookies from; ``""`` is no file, but enables cookies of answers."""
    data: bytes | None = None
    form: list[curl_form.Field] = field(default_factory=list)

    def take(self, name: str, value: str) -> None:
        """Apply one option."""
        match name:
            case "url":
                self.urls.append(value)
            case "header":
                self._header(value)
            case "cookie":
                (self.cookies if "=" in value else self.reads).append(value)
            case "form" | "form-string":
                self.form.append(curl_form.field(name, value, self._read))
            case "data" | "data-ascii" | "data-raw" | "data-binary" | "data-urlencode" | "json":
                self._data(name, value)
            case _ if name in _SINGLE:
                self.single[name] = value
            case _ if name in _VERSIONS:
                self.single["version"] = "" if value == "no" else name
            case _ if value == "no":
                self.flags.discard(name)
            case _:
                self.flags.add(name)

    def _header(self, line: str) -> None:
        if line.startswith("@"):
            for one in self._read(line[1:]).decode("utf-8", "surrogateescape").splitlines():
                self._header(one)
            return
        name, colon, value = line.partition(":")
        if not colon and line.endswith(";"):
            name, value = line[:-1], ";"
        elif not colon:
            raise _CommandError(f"the header {line!r} has no colon")
        if not TOKEN.fullmatch(name):
            raise _CommandError(f"the header {line!r} has no valid name")
        if re.search(r"[\x00\r\n]", value):
            raise _CommandError(f"the header {line!r} has more than one line")
        if value == ";" and not colon:
            self.headers.append((name, ""))
        elif value.strip(" \t"):
            self.headers.append((name, value.strip(" \t")))
        else:
            self.absent.add(name.lower())

    def _data(self, name: str, value: str) -> None:
        if name == "data-raw":
            piece = _bytes(value)
        elif name == "data-urlencode":
            piece = self._urlencoded(value)
        elif value.startswith("@"):
            piece = self._read(value[1:])
            if name not in {"data-binary", "json"}:
                piece = piece.translate(None, b"\r\n\0")
        else:
            piece = _bytes(value)
        if name == "json":
            self.flags.add("json")
        joint = b"" if name == "json" or self.data is None else b"&"
        self.data = (self.data or b"") + joint + piece

    def _urlencoded(self, value: str) -> bytes:
        name, mark, content = re.fullmatch(r"(?s)([^=@]*)([=@]?)(.*)", value).groups()  # type: ignore[union-attr]
        if not mark:
            name, content = "", value
        read = self._read(content) if mark == "@" else _bytes(content)
        return _bytes(f"{name}=" if name else "") + quote_plus(read).encode()

    def _read(self, name: str) -> bytes:
        if name == "-":
            raise _CommandError("it takes a body from standard input: name a file")
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise _CommandError(f"{self.folder / name} cannot be read: {error.strerror}") from error

    def calls(self, notes: Notes) -> Iterator[Found]:
        """Yield the requests, one for each URL, with their hosts.

        Raises:
            _CommandError: curl would not send one, or it is not supported.
        """
        if not self.urls:
            raise _CommandError("it has no URL")
        if self.data is not None and self.form:
            raise _CommandError("--data and --form exclude each other")
        if "head" in self.flags and (self.form or (self.data is not None and "get" not in self.flags)):
            raise _CommandError("--head asks for no body, and another option gives one: curl refuses both")
        unknown = next((one for one in self.reads if one and one not in self.jars), None)
        if unknown is not None:
            raise _CommandError(
                f"--cookie {unknown} names a file that no earlier command writes with --cookie-jar: "
                "write the cookies, name=value"
            )
        for url in self.urls:
            yield self._call(url, notes)
        self._note(notes)

    def _note(self, notes: Notes) -> None:
        """Note what curl would do with the requests beyond sending them once, as HTTP/1.1, to the server."""
        option = self.single.get("version", "")
        if version := _VERSIONS.get(option):
            notes.more[f"{{n}} would be {version} (curl's --{option}), and is sent as HTTP/1.1."] += len(
                self.urls
            )
        if self.single.get("proxy"):
            notes.more["{n} would be sent to a proxy (curl's --proxy), in the form for proxies."] += len(
                self.urls
            )
        if self.single.get("retry", "0").strip("0"):
            notes.more["{n} would be sent again after a failure (curl's --retry): sent once."] += len(
                self.urls
            )
        if "fail-early" in self.flags and len(self.urls) > 1:
            notes.more["{n} would not be sent after a failure (curl's --fail-early)."] += len(self.urls) - 1

    def _call(self, url: str, notes: Notes) -> Found:
        scheme, user, authority, target = self._split(url)
        is_get = "get" in self.flags and not self.form
        body = self.data if self.data is not None and not is_get else b""
        if is_get and self.data:
            target += ("" if target.endswith("?") else "&" if "?" in target else "?") + wire(_text(self.data))
            _sendable(url, target)
        target = wire(self.single.get("request-target", "")) or target
        custom = list(self.headers)
        if "json" in self.flags:
            given = {name.lower() for name, _ in custom} | self.absent
            custom += [pair for pair in _JSON if pair[0].lower() not in given]
        kind = "" if self.data is None or is_get else FORM
        plain = self._headers(custom, user, "")
        headers = self._headers(custom, user, kind)
        if self.form:
            own = next((value for name, value in custom if name.lower() == "content-type"), None)
            if own is None and "content-type" in self.absent:
                own = ""
            body, kind = curl_form.multipart(self.form, own, backslashes="form-escape" in self.flags)
            typed = [pair for pair in plain if pair[0].lower() != "content-type"]
            headers = (*typed, ("Content-Type", wire(kind)))
        if any(name.lower() == "content-length" and value != str(len(body)) for name, value in custom):
            raise _CommandError(f"its Content-Length is not that of its body, {len(body)} bytes")
        method = self._method(posts=bool(kind))
        if len(body) > EXPECTS and "expect" not in {name.lower() for name, _ in custom} | self.absent:
            headers = (*headers, ("Expect", "100-continue"))
        sent = without_connection(headers, authority, len(body), notes)
        call = Call(
            method, target, sent, body, redirects=self._redirects(plain, method), jar=self._jar(plain)
        )
        return scheme, authority, call

    def _method(self, *, posts: bool) -> str:
        method = self.single.get("request")
        if method is not None and not TOKEN.fullmatch(method):
            raise _CommandError(f"--request {method!r} is not a method")
        return method or ("HEAD" if "head" in self.flags else "POST" if posts else "GET")

    def _split(self, url: str) -> tuple[str, str, str, str]:
        """Return scheme, credentials, host and target of *url*, as curl reads it."""
        if "globoff" not in self.flags and _SEVERAL.search(re.sub(r"//\[[^\]/]*\]", "//host", url)):
            raise _CommandError(
                f"{url} stands for several URLs, or is not valid: write them out, or give --globoff"
            )
        found = _URL.match(url)
        if found is None:
            raise _CommandError(f"{url!r} is not a URL with a host")
        scheme = (found["scheme"] or "http").lower()
        if scheme not in {"http", "https"}:
            raise _CommandError(f"{url} is not an HTTP URL")
        path = found["path"] or "/"
        if "path-as-is" not in self.flags:
            path = _without_dots(path)
        # curl encodes non-ASCII characters in a path, but not in a query.
        encoded = "".join(one if one < "\x80" else f"%{ord(one):02x}" for one in wire(path))
        target = encoded + wire(found["query"] or "")
        _sendable(url, target)
        return scheme, found["user"] or "", found["host"], target

    def _headers(self, custom: list[tuple[str, str]], user: str, kind: str) -> Headers:
        """Return the headers in curl's order: first its own, then those of the command."""
        own = [
            ("Authorization", self._authorization(user)),
            ("Range", self._range()),
            ("User-Agent", self.single.get("user-agent", AGENT)),
            ("Accept", "*/*"),
            ("Accept-Encoding", "deflate, gzip" if "compressed" in self.flags else ""),
            ("Referer", self.single.get("referer", "").partition(";auto")[0]),
            ("Cookie", ";".join(self.cookies)),
        ]
        given = {name.lower() for name, _ in custom} | self.absent
        headers = [pair for pair in own if pair[1] and pair[0].lower() not in given]
        headers += custom
        if kind and "content-type" not in given:
            headers.append(("Content-Type", kind))
        return tuple((wire(name), wire(value)) for name, value in headers)

    def _authorization(self, user: str) -> str:
        if (token := self.single.get("oauth2-bearer")) is not None:
            return f"Bearer {token}"
        given = self.single.get("user")
        if given is not None and ":" not in given:
            raise _CommandError(f"--user {given} has no password: write name:password")
        if given is None and not user:
            return ""
        name, _, password = user.partition(":")
        pair = _bytes(given) if given else unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
        return f"Basic {base64.b64encode(pair).decode()}"

    def _range(self) -> str:
        text = self.single.get("range", "")
        return f"bytes={text}{'-' if text.isdecimal() else ''}" if text else ""

    def _redirects(self, headers: Headers, method: str) -> Redirects | None:
        if not self.flags & {"location", "location-trusted"}:
            return None
        posts = self.data is not None or bool(self.form)
        keep = tuple(status for status, name in _POST_AGAIN.items() if name in self.flags or not posts)
        limit = self.single.get("max-redirs", str(REDIRECTS))
        if not re.fullmatch(r"-1|\d+", limit):
            raise _CommandError(f"--max-redirs {limit} is not a number")
        then = self.single.get("request") or ("GET" if posts and method == "POST" else method)
        bare = without_connection(headers, "", 0, Notes())
        return Redirects(int(limit), keep, then, bare, self.single.get("referer", "").endswith(";auto"))

    def _jar(self, headers: Headers) -> Jar | None:
        writes = self.single.get("cookie-jar", "")
        if not (self.reads or writes):
            return None
        kept = () if "junk-session-cookies" in self.flags else tuple(one for one in self.reads if one)
        joined = any(name == "Cookie" and value == wire(";".join(self.cookies)) for name, value in headers)
        return Jar(kept, writes, active=True, at=None if joined else len(headers) - len(self.headers))


_SINGLE = {
    "request", "user", "user-agent", "referer", "oauth2-bearer", "range", "max-redirs", "request-target",
    "cookie-jar", "proxy", "retry",
}  # fmt: skip
_VERSIONS = {
    "http1.0": "HTTP/1.0",
    "http1.1": "",
    "http2": "HTTP/2, or ask for it in an Upgrade header",
    "http2-prior-knowledge": "HTTP/2",
    "http3": "HTTP/3",
}
"""Options for the version of HTTP, of which the last one counts; no text: the version that is sent."""


def parse(file: Path, content: bytes) -> tuple[list[Found], Notes]:
    """Return the requests of *content* with their hosts, and notes for the user.

    Relative file names in a command refer to the folder of *file*.

    Raises:
        UsageError: something cannot be sent; the message has its line.
    """
    text = content.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    found: list[Found] = []
    notes, jars = Notes(), frozenset[str]()
    try:
        for words in commands(text):
            command = _command(file, words, jars)
            found += _checked(file, words, command, notes)
            jars |= {command.single.get("cookie-jar", "")} - {""}
    except ShellError as error:
        raise UsageError(f"{file}, line {error.line}: {error}", advice=_advice(str(error))) from None
    if not found:
        raise UsageError(
            f"{file} has no request to send", advice="Write one curl command per line, or give a HAR file."
        )
    return found, notes


def _advice(what: str) -> str:
    if what.startswith("curl's "):
        return "Remove it, or write the request in a scenario file: see docs/scenarios.md."
    return FOR_BASH


def _command(file: Path, words: list[Word], jars: frozenset[str]) -> _Command:
    first, *rest = words[1:] if words[0].text == "$" and words[1:] else words  # a copied prompt
    if first.text != "curl" and not first.text.endswith("/curl"):
        raise UsageError(
            f"{file}, line {first.line}: {first.text!r} is not a curl command",
            advice="Write one curl command per line; quote a URL that contains &.",
        )
    if any(word.text.startswith("^") for word in rest):
        raise UsageError(f"{file}, line {first.line}: it was copied for Windows (cmd)", advice=FOR_BASH)
    command = _Command(file.absolute().parent, jars)
    try:
        for name, value in options(rest):
            command.take(name, value)
    except (_CommandError, curl_form.FormError) as error:
        raise _mistake(file, first.line, error) from None
    return command


def _checked(file: Path, words: list[Word], command: _Command, notes: Notes) -> list[Found]:
    try:
        return list(command.calls(notes))
    except (_CommandError, curl_form.FormError) as error:
        raise _mistake(file, words[0].line, error) from None


def _mistake(file: Path, line: int, error: Exception) -> UsageError:
    return UsageError(f"{file}, line {line}: {error}", advice="Correct the command.")


def _sendable(url: str, target: str) -> None:
    if found := _CONTROL.search(target):
        raise _CommandError(f"{url!r} holds {found[0]!r}, and curl sends no such URL: percent-encode it")


def _without_dots(path: str) -> str:
    """Return *path* without its ``.`` and ``..`` segments."""
    kept: list[str] = []
    *segments, last = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    return "/" + "".join(f"{segment}/" for segment in kept) + ("" if last in {".", ".."} else last)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
