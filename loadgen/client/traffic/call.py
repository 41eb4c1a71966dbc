"""A request of a file, and the scenario that plays such requests."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from loadgen import protocol
from loadgen.client.scenario import Origin, Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.scenario import User
    from loadgen.core.exchange import Headers

CONNECTION = frozenset(
    {
        "host", "content-length", "connection", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "http2-settings", "expect", protocol.SEQ_HEADER.lower(),
    }
)  # fmt: skip
"""Headers that belong to a connection, or follow from the rest of a request: not taken from a file."""
USERS = 8
"""Virtual users of a file that has one, where the command line names none."""
_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<authority>[^/?#]*)(?P<target>[^#]*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A request to play."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    user: int = 0
    """Which of the file's users sent it, from 0."""
    follow: bool = False
    """Whether redirects are followed."""


def split(url: str) -> tuple[str, str, str]:
    """Return scheme, authority and target of *url*; what cannot be sent as it is, percent-encoded."""
    found = _URL.match(url)
    assert found
    target = found["target"].strip()
    if not target.startswith("/"):
        target = f"/{target}"
    # Everything that may stand there stays as it is: a browser's or a user's own encoding is what counts.
    return (found["scheme"] or "").lower(), found["authority"], quote(target, safe=string.punctuation)


def wire(text: str) -> str:
    """Return *text* as headers are kept: its bytes in UTF-8, decoded as latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def unwired(text: str) -> str:
    """Return the text of which :func:`wire` makes *text*."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def playing(file: Path, calls: list[Call]) -> Scenario:
    """Return the scenario in which virtual users play *calls*, in their order.

    Where the file has several users, a virtual user plays what one of them sent; where there are more virtual
    users, a user's requests are played by several, where there are fewer, those of several by one.
    """
    users = sorted({call.user for call in calls})
    lists = [[call for call in calls if call.user == user] for user in users]

    def mine(user: int, of: int) -> list[list[Call]]:
        return lists[user % len(lists) :: of]

    async def run(user: User) -> None:
        for part in mine(user.id, user.of):
            for call in part:
                await user.http.send(_request(user.http, call), follow_redirects=call.follow)

    def requests(of: int) -> int:
        return sum(len(part) for user in range(of) for part in mine(user, of))

    return Scenario(
        file.name,
        f"the {len(calls)} requests of {file.name}",
        run,
        concurrency=len(lists) if len(lists) > 1 else USERS,
        iterations=1,
        origin=Origin("--from", file.resolve()),
        requests=requests,
    )


def _request(http: httpx.AsyncClient, call: Call) -> httpx.Request:
    """Return *call* as a request to the server; not built by the client, which adds headers and cookies."""
    target = call.target.encode()
    extensions: dict[str, Any] = {"timeout": http.timeout.as_dict()}
    if not call.follow:  # httpx would take it along to where it is redirected
        extensions["target"] = target
    return httpx.Request(
        call.method,
        http.base_url.copy_with(raw_path=target),
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers],
        content=call.body or None,
        extensions=extensions,
    )
