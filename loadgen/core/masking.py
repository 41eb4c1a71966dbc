"""Masks secrets in exported and displayed data; comparisons use the unmasked data.

A rule is ``header:NAME``, ``json:PATH``, or ``query:NAME`` (a field of a query string or of a form). The
rules in :data:`ALWAYS` are always in force. A masked value becomes :data:`MASK`; the rest of a message is
unchanged. Masked values are remembered, so that they can be removed from free text (evidence, logs).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loadgen.core import json_path
from loadgen.core.exchange import Failure, Request, Response
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadgen.core.exchange import Headers
    from loadgen.core.transcript import Event

MASK = "(masked)"
ALWAYS = ("header:authorization", "header:proxy-authorization", "header:cookie", "header:set-cookie")
WORTH = 4
"""Shorter values are not searched in free text, because they occur everywhere."""
_ADVICE = "Give header:NAME, json:PATH (json:$.password, json:$..token) or query:NAME."


def cookie_values(header: str, value: str) -> list[str]:
    """Return the values of the cookies in *value* of *header*: of all in Cookie, of one in Set-Cookie."""
    pairs = value.split(";")[: 1 if header == "set-cookie" else None] if "cookie" in header else ()
    return [pair.partition("=")[2] for pair in pairs]


@dataclass(frozen=True, slots=True)
class Rules:
    """What to mask, ready for use."""

    names: tuple[str, ...]
    headers: frozenset[str]
    fields: frozenset[str]
    paths: tuple[json_path.Path, ...]


def parse(given: Iterable[str]) -> Rules:
    """Parse the rules given by the user, and add those that are always in force.

    Raises:
        UsageError: a rule is not valid.
    """
    names = tuple(dict.fromkeys((*ALWAYS, *(rule.strip() for rule in given))))
    headers, fields, paths = set(), set(), []
    for name in names:
        kind, _, what = name.partition(":")
        try:
            match kind:
                case "header" if what:
                    headers.add(what.lower())
                case "query" if what:
                    fields.add(what)
                case "json":
                    paths.append(json_path.parse(what))
                case _:
                    raise UsageError(f"{name!r} is not a field that can be masked", advice=_ADVICE)
        except ValueError as error:
            raise UsageError(f"{name!r} cannot be masked: {error}", advice=_ADVICE) from error
    return Rules(names, frozenset(headers), frozenset(fields), tuple(paths))


class Masker:
    """Applies rules, counts masked values, and remembers them for :meth:`text`."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.masked: Counter[str] = Counter()
        """Number of masked values, by header and field; all JSON paths together."""
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._query = (
            re.compile(rf"((?:^|[?&;])(?:{'|'.join(map(re.escape, sorted(rules.fields)))})=)([^&;#]*)")
            if rules.fields
            else None
        )

    def headers(self, headers: Headers) -> Headers:
        """Mask the headers named by the rules, and named fields of URLs in other headers."""
        if not self._query and not any(name.lower() in self.rules.headers for name, _ in headers):
            return headers
        return tuple((name, self._header(name.lower(), value)) for name, value in headers)

    def target(self, target: str) -> str:
        """Mask the fields of a target's query string."""
        return self._fields(target) if self._query else target

    def body(self, body: bytes, headers: Headers) -> bytes:
        """Mask the fields of a JSON or form body; invalid JSON is masked completely."""
        if not body or not (self.rules.paths or self._query):
            return body
        kind = next((value.lower() for name, value in headers if name.lower() == "content-type"), "")
        if self._query and "form" in kind:
            return self._fields(body.decode("latin-1")).encode("latin-1")
        if self.rules.paths and ("json" in kind or body.lstrip()[:1] in (b"{", b"[")):
            try:
                return self._json(body.decode(), self.rules.paths).encode()
            except (ValueError, RecursionError):
                self.masked["json: a body that is not JSON"] += 1
                return MASK.encode()
        return body

    def event(self, event: Event) -> Event:
        """Mask an event of a transcript."""
        match event:
            case Request():
                return replace(
                    event,
                    target=self.target(event.target),
                    headers=self.headers(event.headers),
                    body=self.body(event.body, event.headers),
                )
            case Response():
                body = self.body(event.body, event.headers)
                return replace(event, headers=self.headers(event.headers), body=body)
            case Failure() if event.came is not None:
                body = self.body(event.came.body, event.came.headers)
                came = replace(event.came, headers=self.headers(event.came.headers), body=body)
                return replace(event, came=came)
        return event

    def difference(self, field: str, value: str) -> str:
        """Mask one side of a difference between answers."""
        kind, _, where = field.partition(":")
        if kind == "header" and where.lower() in self.rules.headers and value != "(absent)":
            return MASK
        if kind == "body" and self.rules.paths and value != "(absent)":
            return self.text(self._at_path(where, value))
        if field.startswith("body at byte") and (self.rules.paths or self._query):
            return MASK  # an excerpt: its fields cannot be recognised
        return self.text(value)

    def text(self, text: str) -> str:
        """Remove the values that were masked so far from free text."""
        if self._pattern is None and self._secrets:
            longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._pattern.sub(MASK, text) if self._pattern else text

    def within(self, value: Any) -> Any:
        """Remove the values that were masked so far from all text in a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.within(one) for key, one in value.items()}
        return [self.within(one) for one in value] if isinstance(value, list) else value

    def _header(self, name: str, value: str) -> str:
        if name not in self.rules.headers:
            return self._fields(value)
        self.masked[f"header:{name}"] += 1
        self._remember(value)
        self._remember(value.partition(" ")[2])  # without its scheme: "Bearer ..."
        for one in cookie_values(name, value):
            self._remember(one)
        return MASK

    def _fields(self, text: str) -> str:
        def mask(found: re.Match[str]) -> str:
            self.masked[f"query:{found[1].lstrip('?&;')[:-1]}"] += 1
            self._remember(found[2])
            return found[1] + MASK

        return self._query.sub(mask, text) if self._query else text

    def _json(self, text: str, paths: Iterable[json_path.Path]) -> str:
        parts, at = [], 0
        for start, end in json_path.find(text, paths):
            self.masked["json"] += 1
            self._remember(text[start:end].strip('"'))
            parts += [text[at:start], f'"{MASK}"']
            at = end
        return "".join((*parts, text[at:]))

    def _at_path(self, where: str, value: str) -> str:
        """Mask a value at the path *where*, if a rule names the path or a part of it."""
        left = list(self.rules.paths)
        try:
            for step in json_path.parse(where):
                left = json_path.advance(left, step)
                if () in left:
                    return MASK
            return self._json(value, left) if left else value
        except (ValueError, RecursionError):  # shortened, or not valid: nothing of it is shown
            return MASK

    def _remember(self, secret: str) -> None:
        secret = secret.strip()
        if len(secret) >= WORTH and secret != MASK and secret not in self._secrets:
            self._secrets.add(secret)
            self._pattern = None
