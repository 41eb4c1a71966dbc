"""Follows redirects as curl does, and keeps cookies as curl does if a command asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from loadgen.client.traffic.answers import is_over, parsed
from loadgen.client.traffic.call import Call, split

if TYPE_CHECKING:
    import httpx

STATUSES = frozenset({301, 302, 303, 307, 308})
_ALWAYS = (307, 308)


def following(call: Call, answer: httpx.Response, base: httpx.URL) -> Call | None:
    """Return the request to which *answer* redirects *call*, or None.

    Raises:
        ValueError: it would go to a server other than *base*.
    """
    rules = call.redirects
    location = answer.headers.get("location")
    if rules is None or not rules.limit or answer.status_code not in STATUSES or location is None:
        return None
    here = f"{base.scheme}://{base.netloc.decode()}{call.target}"
    path, mark, query = location.strip().partition("?")
    there = urljoin(here, path.replace(" ", "%20") + mark + query.replace(" ", "+"))
    if urlsplit(there)[:2] != urlsplit(here)[:2]:
        if not rules.leaves:
            return None
        raise ValueError(
            f"{call.method} {call.target} redirects to {there}: requests go only to the server under test; "
            "remove --location from the command"
        )
    again = answer.status_code in (*rules.keep, *_ALWAYS)
    method, headers, body = (
        (call.method, call.headers, call.body) if again else (rules.method, rules.headers, b"")
    )
    if rules.referer:
        headers = (*(pair for pair in headers if pair[0].lower() != "referer"), ("Referer", here))
    left = replace(rules, limit=rules.limit - 1)
    return replace(call, method=method, target=split(there)[2], headers=headers, body=body, redirects=left)


@dataclass(slots=True)
class _Cookie:
    name: str
    value: str
    path: str
    made: int


@dataclass(slots=True)
class Cookies:
    """The cookies of one jar."""

    _kept: dict[tuple[str, str], _Cookie] = field(default_factory=dict)
    _count: int = 0

    def merge(self, other: Cookies) -> None:
        """Add the cookies of *other*."""
        for key, one in other._kept.items():
            self._count += 1
            self._kept[key] = replace(one, made=self._count)

    def take(self, answer: httpx.Response, target: str) -> None:
        """Store the cookies set by *answer* to a request for *target*."""
        default = target.partition("?")[0].rpartition("/")[0] or "/"
        for line in answer.headers.get_list("set-cookie"):
            name, value, options = parsed(line)
            path = options.get("path", "")
            path = path if path.startswith("/") else default
            key = name, path
            self._count += 1
            made = self._kept[key].made if key in self._kept else self._count
            self._kept.pop(key, None)
            if not is_over(options):
                self._kept[key] = _Cookie(name, value, path, made)

    def header(self, target: str) -> str:
        """Return the cookie header for *target*, in curl's order: longer paths and names first."""
        path = target.partition("?")[0]
        fitting = [one for one in self._kept.values() if _within(path, one.path)]
        fitting.sort(key=lambda one: (-len(one.path), -len(one.name), one.made))
        return "; ".join(f"{one.name}={one.value}" for one in fitting)


def with_cookies(call: Call, cookies: str) -> Call:
    """Return *call* with *cookies* before those of its own."""
    if not cookies:
        return call
    names = [name.lower() for name, _ in call.headers]
    if "cookie" in names and (call.jar is None or call.jar.at is None):
        at = names.index("cookie")
        pair = (call.headers[at][0], f"{cookies}; {call.headers[at][1]}")
        return replace(call, headers=(*call.headers[:at], pair, *call.headers[at + 1 :]))
    at = len(names) if call.jar is None or call.jar.at is None else call.jar.at
    return replace(call, headers=(*call.headers[:at], ("Cookie", cookies), *call.headers[at:]))


def _within(path: str, of: str) -> bool:
    return path == of or path.startswith(of if of.endswith("/") else f"{of}/")
