"""The scenario that sends the requests of a file."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from loadgen.client.recording import as_given
from loadgen.client.scenario import Scenario
from loadgen.client.traffic.carrying import Carrier, providers, why_missing
from loadgen.client.traffic.redirects import Cookies, following, with_cookies
from loadgen.client.transport import UNANSWERED

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from loadgen.client.scenario import User
    from loadgen.client.traffic.call import Bound, Call

USERS = 8
"""Default number of virtual users for a file with one user."""


def playing(file: Path, calls: list[Call]) -> Scenario:
    """Return the scenario in which virtual users send *calls*, in order.

    If the file has several users, a virtual user sends the requests of one of them. With more virtual users,
    several send the same requests; with fewer, one sends those of several users.
    """
    users = sorted({call.user for call in calls})
    lists = [[(at, call) for at, call in enumerate(calls) if call.user == user] for user in users]
    needed = providers(calls)
    told: set[tuple[int, Bound]] = set()

    def mine(user: int, of: int) -> list[list[tuple[int, Call]]]:
        return lists[user % len(lists) :: of]

    async def run(user: User) -> None:
        for part in mine(user.id, user.of):
            jars: defaultdict[str, Cookies] = defaultdict(Cookies)
            carrier = Carrier(needed)
            for number, call in part:
                filled, missing = carrier.filled(call)
                for bound in missing:
                    if (number, bound) not in told:
                        told.add((number, bound))
                        user.say(
                            f"{call.method} {call.target} is sent with the file's value: "
                            f"{why_missing(bound, calls)}"
                        )
                with suppress(*UNANSWERED):  # is in the transcript; the next request does not depend on it
                    carrier.seen(number, await _play(user.http, filled, jars))

    def requests(of: int) -> int:
        return sum(len(part) for user in range(of) for part in mine(user, of))

    return Scenario(
        file.name,
        f"the {len(calls)} requests of {file.name}",
        run,
        concurrency=len(lists) if len(lists) > 1 else USERS,
        iterations=1,
        file=file.resolve(),
        requests=requests,
    )


async def _play(http: httpx.AsyncClient, call: Call, jars: defaultdict[str, Cookies]) -> httpx.Response:
    """Send *call*, follow its redirects, and return the last answer."""
    jar, seen = call.jar, Cookies()
    if jar is not None:
        for name in jar.reads:
            seen.merge(jars[name])
    one = call
    while True:
        cookies = seen.header(one.target) if jar is not None and jar.active else ""
        answer = await http.send(request(http, with_cookies(one, cookies)), follow_redirects=False)
        if jar is not None:
            seen.take(answer, one.target)
        due = following(one, answer, http.base_url)
        if due is None:
            break
        one = due
    if jar is not None and jar.writes:
        jars[jar.writes] = seen
    return answer


def request(http: httpx.AsyncClient, call: Call) -> httpx.Request:
    """Return *call* as a request; not built by the client, which would add headers and cookies."""
    target = call.target.encode("latin-1")
    extensions: dict[str, Any] = {"timeout": http.timeout.as_dict(), "target": target}
    return as_given(
        call.method,
        http.base_url,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers],
        content=call.body or None,
        extensions=extensions,
    )
