"""The scenario that plays the requests of a file."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import httpx

from loadgen.client.scenario import Origin, Scenario
from loadgen.client.traffic.redirects import Cookies, following, with_cookies

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.scenario import User
    from loadgen.client.traffic.call import Call

USERS = 8
"""Virtual users of a file that has one, where the command line names none."""


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
            jars: defaultdict[str, Cookies] = defaultdict(Cookies)
            for call in part:
                await _play(user.http, call, jars)

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


async def _play(http: httpx.AsyncClient, call: Call, jars: defaultdict[str, Cookies]) -> None:
    """Send *call*, and whatever it is redirected to."""
    jar, seen = call.jar, Cookies()
    if jar is not None:
        for name in jar.reads:
            seen.merge(jars[name])
    due: Call | None = call
    while due is not None:
        one = due
        cookies = seen.header(one.target) if jar is not None and jar.active else ""
        answer = await http.send(request(http, with_cookies(one, cookies)), follow_redirects=False)
        if jar is not None:
            seen.take(answer, one.target)
        due = following(one, answer, http.base_url)
    if jar is not None and jar.writes:
        jars[jar.writes] = seen


def request(http: httpx.AsyncClient, call: Call) -> httpx.Request:
    """Return *call* as a request to the server; not built by the client, which adds headers and cookies."""
    target = call.target.encode("latin-1")
    extensions: dict[str, Any] = {"timeout": http.timeout.as_dict(), "target": target}
    return httpx.Request(
        call.method,
        http.base_url,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers],
        content=call.body or None,
        extensions=extensions,
    )
