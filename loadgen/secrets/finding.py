"""Secrets in what a run holds: they are found, and replaced by pseudonyms.

Values are found by rules (:data:`loadgen.core.masking.ALWAYS`, those of the user), by built-in patterns, and
by a detector that the caller gives. A value that was found anywhere is replaced everywhere: as it is, in the
usual escapes, and in anything encoded (base64, hexadecimal, compressed) that contains it.

A pseudonym has the shape of its value: letters for letters, digits for digits, everything else unchanged. It
depends only on the value and the key, so equal values stay equal, also in another run with the same key.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import string
import urllib.parse
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from loadgen.core import json_path
from loadgen.core.exchange import Failure, Request, Response
from loadgen.core.masking import ALWAYS, cookie_values
from loadgen.core.transcript import FailedIteration, Run
from loadgen.errors import UsageError
from loadgen.secrets.packed import gzipped, payloads, unzipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from loadgen.core.exchange import Headers
    from loadgen.core.transcript import Event

    Detect = Callable[[str], Iterable[tuple[str, str]]]
    """Returns the secrets in a text, each with its kind."""

SHORTEST = 4
"""Shorter values are not replaced: they occur everywhere."""
FOUND = 6
"""Length of the shortest value that is found by how it looks."""
DEPTH = 3
"""How often an encoded value may be encoded again."""
_ADVICE = (
    "Give header:NAME, json:PATH (json:$.password, json:$..token), query:NAME (also a field of a form), "
    "env:NAME, or regex:PATTERN (its first group, if it has one)."
)

_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|secret|token|api[_-]?key|(?:access|private|signing|encryption)[_-]?key|"
    r"credentials?|authorization|session(?:[_-]?id)?|csrf|(?<![a-z])(?:pwd|pin|otp|cvv|cvc))"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    ),
    ("JWT", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),
    ("password in a URL", re.compile(r"\w://[^/\s:@\"']*:([^/\s@\"']+)@")),
    ("e-mail", re.compile(r"[\w.+-]*\w(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")),
    (
        "named field",
        re.compile(
            rf"(?i){_NAME}[\d_-]*\\?[\"']?\s*[:=]\s*(?:(?:bearer|basic|token)\s+)?"
            r"(?:\\\"(.+?)\\\"|\"((?:[^\"\\]|\\.)+)\"|'([^']+)'|([^\s\"'\\&;,<>(){}\[\]]+))"
        ),
    ),
    ("card number", re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|\.\d)")),
)  # fmt: skip
_WORDS = frozenset(
    {"true", "false", "null", "none", "bearer", "basic", "password", "secret", "token", "string"}
)
"""Values of named fields that are not secrets."""
_RUN = re.compile(r"(?:[A-Za-z0-9+/_-]|\\/){8,}(?:(?:(?:\\r)?\\n|\r?\n)(?:[A-Za-z0-9+/_-]|\\/){8,})*={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}")
_PRINTABLE = re.compile(rb"[\t\r\n -~]+")
_QUOTED = re.compile(r"[^\s\"'&;<>=?]*%[0-9A-Fa-f]{2}[^\s\"'&;<>=?]*")


@dataclass(frozen=True, slots=True)
class SecretRules:
    """The rules of the user, ready for use."""

    headers: frozenset[str]
    fields: frozenset[str]
    paths: tuple[json_path.Path, ...]
    variables: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]


def parse(given: Iterable[str]) -> SecretRules:
    """Parse the rules given by the user, and add those of :data:`~loadgen.core.masking.ALWAYS`.

    Raises:
        UsageError: a rule is not valid.
    """
    headers, named, paths, variables, patterns = set(), set(), [], set(), []
    for rule in (*ALWAYS, *given):
        kind, _, what = rule.strip().partition(":")
        try:
            match kind:
                case "header" if what:
                    headers.add(what.lower())
                case "query" if what:
                    named.add(what)
                case "json":
                    paths.append(json_path.parse(what))
                case "env" if what:
                    variables.add(what)
                case "regex" if what:
                    patterns.append(re.compile(what))
                case _:
                    raise UsageError(f"{rule!r} does not name a secret", advice=_ADVICE)
        except (ValueError, re.error) as error:
            raise UsageError(f"the secret {rule!r} cannot be used: {error}", advice=_ADVICE) from error
    return SecretRules(
        frozenset(headers), frozenset(named), tuple(paths), frozenset(variables), tuple(patterns)
    )


class Secrets:
    """The secrets of a run, by what was shown to it."""

    def __init__(self, key: bytes, rules: SecretRules, detect: Detect = lambda _: ()) -> None:
        self._key = key[:64]
        self._rules = rules
        self._detect = detect
        self._found: dict[str, str] = {}
        """Kind of each value."""
        self._seen: set[int] = set()
        self._stale: list[str] = []
        """Values that are not in the index yet."""
        self._forms: dict[str, str] = {}
        """Pseudonym of each form of a value."""
        self._starts: dict[str, list[str]] = {}
        """Forms by their first characters."""
        self._runs: dict[str, str] = {}

    @property
    def values(self) -> dict[str, str]:
        """The values found so far, each with its kind."""
        return dict(self._found)

    @property
    def kinds(self) -> dict[str, int]:
        """Number of values found, by kind."""
        return dict(sorted(Counter(self._found.values()).items()))

    # ---- finding -------------------------------------------------------------------------------------------

    def add(self, value: str, kind: str, least: int = SHORTEST) -> None:
        """Note a secret of at least *least* characters."""
        value = value.strip()
        if len(value) < least or value in self._found or self._shaped(value) == value:
            return
        self._found[value] = kind
        self._stale.append(value)
        self._runs.clear()

    def learn_environment(self, variables: Mapping[str, str]) -> None:
        """Find the secrets in environment variables."""
        for name, value in variables.items():
            if name in self._rules.variables:
                self.add(value, f"env:{name}")
            self.learn_text(f"{name}={value}")

    def learn_event(self, event: Event) -> None:
        """Find the secrets in an event of a transcript."""
        match event:
            case Request():
                self._learn_fields(event.target)
                self.learn_text(event.target)
                self._learn_message(event.headers, event.body)
            case Response():
                self._learn_message(event.headers, event.body)
            case Failure():
                self.learn_text(event.message)
                if event.came is not None:
                    self._learn_message(event.came.headers, event.came.body)
            case FailedIteration():
                self.learn_text(event.message)

    def learn_text(self, text: str, depth: int = DEPTH) -> None:
        """Find the secrets in free text, also in what is encoded in it."""
        if len(text) < SHORTEST or hash(text) in self._seen:
            return
        self._seen.add(hash(text))
        for pattern in self._rules.patterns:
            for found in pattern.finditer(text):
                self.add(found[1] or "" if pattern.groups else found[0], "regex")
        for kind, pattern in _PATTERNS:
            for found in pattern.finditer(text):
                self._add_found(next((one for one in found.groups() if one), found[0]), kind)
        for kind, value in self._detect(text):
            self.add(value, kind, FOUND)
        for inner in _texts_in(text) if depth else ():
            self.learn_text(inner, depth - 1)

    def _add_found(self, value: str, kind: str) -> None:
        if kind == "card number" and not _is_card(value):
            return
        if kind == "named field" and value.lower() in _WORDS:
            return
        plain = {one for one in (_unescaped(value), urllib.parse.unquote_plus(value)) if one != value}
        # How a value is written is no part of it, unless that is a way that is not known.
        known = any(written(one) == value for one in plain for written in _WRITTEN)
        for form in plain if known else {value, *plain}:
            self.add(form, kind, SHORTEST if kind == "named field" else FOUND)
            if kind == "private key":  # its lines may stand alone
                for line in re.split(r"\\n|\s+", form):
                    self.add(line, kind, 16)

    def _learn_message(self, headers: Headers, body: bytes) -> None:
        for name, value in headers:
            if name.lower() in self._rules.headers:
                self._learn_header(name.lower(), value)
            self.learn_text(f"{name}: {value}")
        content = _content(body, headers)
        for text in map(_text, (content, *payloads(content))):
            kind = next((value.lower() for name, value in headers if name.lower() == "content-type"), "")
            if "form" in kind:
                self._learn_fields(f"?{text}")
            for start, end in _json(text, self._rules.paths):
                value = text[start:end]
                self.add(value.strip('"'), "json")
                self.add(_unescaped(value.strip('"')), "json")
            self.learn_text(text)

    def _learn_header(self, name: str, value: str) -> None:
        kind = f"header:{name}"
        if "cookie" in name:
            for one in cookie_values(name, value):
                self.add(one.strip('" '), kind)
            return
        scheme, _, rest = value.strip().partition(" ")
        self.add(rest or scheme, kind)
        if scheme.lower() == "basic":
            for inner in _decoded(rest.strip()):
                if _is_text(inner):
                    self.add(inner.decode().partition(":")[2], kind)
                    self.add(inner.decode(), kind)

    def _learn_fields(self, target: str) -> None:
        query = target.partition("?")[2]
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
            if name in self._rules.fields:
                self.add(value, f"query:{name}")
            self.learn_text(f"{name}={value}")

    # ---- replacing -----------------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Return *text* with pseudonyms."""
        parts, at = [], 0
        for start, end, pseudonym in _merged(sorted(self._spans(text), key=lambda one: (one[0], -one[1]))):
            parts += [text[at:start], self._shaped(text[start:end]) if pseudonym is None else pseudonym]
            at = end
        return "".join((*parts, text[at:]))

    def _spans(self, text: str) -> Iterator[_Span]:
        """Yield where secrets are in *text*, in whatever form, each with its pseudonym."""
        for form in self._candidates(text):
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form), self._forms[form]
                start = text.find(form, start + 1)
        for pattern, pseudonym in ((_RUN, self._encoded), (_HEX, self._encoded), (_QUOTED, self._quoted)):
            for found in pattern.finditer(text):
                if (replaced := pseudonym(found[0])) != found[0]:
                    yield *found.span(), replaced

    def body(self, body: bytes, headers: Headers = ()) -> bytes:
        """Return *body* with pseudonyms; what is compressed in it and has a secret is not kept."""
        content = _content(body, headers)
        text, codec = _text(content), "utf-8" if _is_utf8(content) else "latin-1"
        packed = any(map(self._has, payloads(content)))
        changed = (self._shaped(text) if packed else self.text(text)).encode(codec)
        if changed == content:
            return body
        return changed if content is body else gzipped(changed, headers)

    def headers(self, headers: Headers) -> Headers:
        """Return *headers* with pseudonyms in their values."""
        return tuple((name, self.text(value)) for name, value in headers)

    def event(self, event: Event) -> Event:
        """Return an event of a transcript with pseudonyms."""
        match event:
            case Request():
                body = self.body(event.body, event.headers)
                return replace(
                    event, target=self.text(event.target), headers=self.headers(event.headers), body=body
                )
            case Response():
                body = self.body(event.body, event.headers)
                return replace(event, headers=self.headers(event.headers), body=body)
            case Failure():
                came = event.came
                if came is not None:
                    body = self.body(came.body, came.headers)
                    came = replace(came, headers=self.headers(came.headers), body=body)
                return replace(event, message=self.text(event.message), came=came)
            case FailedIteration():
                return replace(event, message=self.text(event.message))
            case Run():
                return replace(event, scenario=self.text(event.scenario))
        return event

    def within(self, value: Any) -> Any:
        """Return *value* with pseudonyms in all of its texts, but not in names and enumerations."""
        if type(value) is str:
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.within(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.within, value))
        if isinstance(value, msgspec.Struct):
            names = value.__struct_fields__
            return msgspec.structs.replace(
                value, **{name: self.within(getattr(value, name)) for name in names}
            )
        if is_dataclass(value) and not isinstance(value, type):
            return replace(
                value, **{one.name: self.within(getattr(value, one.name)) for one in fields(value)}
            )
        return value

    def _candidates(self, text: str) -> list[str]:
        """Return the forms of secrets that are in *text*, the longest first."""
        if self._stale:
            self._index()
        starts = {text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)}
        found = [
            form for start in starts & self._starts.keys() for form in self._starts[start] if form in text
        ]
        return sorted(found, key=lambda form: (-len(form), form))

    def _index(self) -> None:
        """Index the values in each form in which they may stand in a text, by how the form begins."""
        for value in self._stale:
            for case in (value, value.lower(), value.upper()) if len(value) > FOUND else (value,):
                for written in _WRITTEN:
                    form = written(case)
                    if form not in self._forms:
                        self._forms[form] = written(self._shaped(case))
                        self._starts.setdefault(form[:SHORTEST], []).append(form)
        self._stale.clear()

    def _has(self, content: bytes, depth: int = DEPTH) -> bool:
        """Return whether *content* contains a secret, also encoded."""
        text = _text(content)
        if self._candidates(text):
            return True
        return depth > 0 and any(
            self._has(inner, depth - 1)
            for pattern in (_RUN, _HEX)
            for run in {*pattern.findall(text)}
            for inner in _decoded(run)
        )

    def _encoded(self, run: str) -> str:
        known = self._runs.get(run)
        if known is None:
            secret = any(self._has(inner) for inner in _decoded(run))
            known = self._runs[run] = self._shaped(run) if secret else run
        return known

    def _quoted(self, text: str) -> str:
        rest = text
        for form in self._candidates(text):  # those have their own pseudonyms
            rest = rest.replace(form, self._forms[form])
        if not self._has(urllib.parse.unquote(rest).encode("utf-8", "surrogatepass")):
            return text
        return urllib.parse.quote(self._shaped(urllib.parse.unquote(text)))

    def _shaped(self, value: str) -> str:
        """Return other letters for letters, and other digits for digits."""
        seed, stream, count = value.encode("utf-8", "surrogatepass"), b"", 0
        shaped = []
        for at, char in enumerate(value):
            while at >= len(stream):
                stream += blake2b(seed, key=self._key, salt=count.to_bytes(8, "big")).digest()
                count += 1
            alphabet = next((one for one in _ALPHABETS if char in one), "")
            if not alphabet and char.isalpha():
                alphabet = string.ascii_lowercase
            shaped.append(alphabet[stream[at] % len(alphabet)] if alphabet else char)
        return "".join(shaped)


_Span = tuple[int, int, str | None]
"""Start, end and pseudonym of a secret in a text; no pseudonym if several overlap."""


def _merged(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Join *spans* that overlap, so that no end of one is left; sorted, the longest of a start first."""
    current: _Span | None = None
    for span in spans:
        if current is None or span[0] >= current[1]:
            if current is not None:
                yield current
            current = span
        elif span[1] > current[1]:
            current = current[0], span[1], None
    if current is not None:
        yield current


_ALPHABETS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_WRITTEN: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: text.encode("unicode_escape").decode(),
    lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    urllib.parse.quote,
    urllib.parse.quote_plus,
    lambda text: urllib.parse.quote(text, safe=""),
    html.escape,
    lambda text: text.encode("utf-8", "surrogatepass").decode("latin-1"),
)
"""How a value may be written in a text: escaped, quoted, or as its bytes."""


def _text(content: bytes) -> str:
    return content.decode("utf-8" if _is_utf8(content) else "latin-1")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content(body: bytes, headers: Headers) -> bytes:
    """Return *body* without its content coding; itself if it has none that can be undone."""
    coding = next((value.lower() for name, value in headers if name.lower() == "content-encoding"), "")
    return unzipped(body, coding) if coding and body else body


def _decoded(run: str) -> Iterator[bytes]:
    """Yield what *run* may stand for: base64 from each of its first characters, hexadecimal, and unpacked."""
    plain = re.sub(r"(?:\\r)?\\n|\s|\\", "", run).rstrip("=").replace("-", "+").replace("_", "/")
    for skip in range(4):
        part = plain[skip:]
        try:
            inner = base64.b64decode(part[: len(part) - (len(part) % 4 == 1)] + "===")
        except (ValueError, binascii.Error):
            continue
        yield inner
        yield from payloads(inner)
    if len(run) % 2 == 0 and re.fullmatch(r"[0-9a-fA-F]+", run):
        inner = bytes.fromhex(run)
        yield inner
        yield from payloads(inner)


def _texts_in(text: str) -> set[str]:
    """Return the texts that are encoded in *text*."""
    runs = {*_RUN.findall(text)}
    return {inner.decode() for run in runs for inner in _decoded(run) if _is_text(inner)}


def _is_text(content: bytes) -> bool:
    return len(content) >= FOUND and _PRINTABLE.fullmatch(content) is not None


def _unescaped(value: str) -> str:
    try:
        return str(json.loads(f'"{value}"'))
    except ValueError:
        return value


def _json(text: str, paths: tuple[json_path.Path, ...]) -> list[tuple[int, int]]:
    if not paths:
        return []
    try:
        return list(json_path.find(text, paths))
    except (ValueError, RecursionError):
        return []


def _is_card(value: str) -> bool:
    """Return whether the check digit of a card number is right."""
    digits = [int(one) for one in value if one.isdigit()]
    doubled = [sum(divmod(2 * one, 10)) for one in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0  # noqa: PLR2004
