"""The built-in scenarios, for the bundled server's users and posts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from loadgen import protocol
from loadgen.client.hazard_scenario import hazards
from loadgen.client.scenario import Scenario, User, scenario
from loadgen.client.transport import UNANSWERED, WireTransport
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NO_SUCH_USER = 10**9


@scenario
async def mixed(user: User) -> None:
    """Create a user and a post, then make a mix of requests, some of them invalid."""
    mine: list[int] = user.data.setdefault("users", [])
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    name = f"user-{user.id}-{turn}"
    created = await user.http.post("/api/users", json={"name": name, "email": f"{name}@example.com"})
    if created.status_code == httpx.codes.CREATED:
        mine.append(created.json()["id"])
    some: Callable[[], int] = lambda: user.rng.choice(mine) if mine else NO_SUCH_USER  # noqa: E731
    await user.http.post(
        "/api/posts",
        json={
            "user_id": some(),
            "title": f"Post {turn} of {name}",
            "content": "x" * user.rng.randint(1, 400),
        },
    )
    steps: dict[Callable[[], Awaitable[Any]], int] = {
        lambda: user.http.get("/api/users"): 2,
        lambda: user.http.get(f"/api/users/{some()}"): 3,
        lambda: user.http.get(f"/api/users/{some()}/posts"): 3,
        lambda: user.http.get("/api/stats"): 3,
        lambda: user.http.post("/api/posts", json={"user_id": some(), "title": "Again", "content": "…"}): 3,
        lambda: user.http.post("/api/users", json={"name": name}): 1,
        lambda: user.http.post("/api/users", content=b"{not json"): 1,
        lambda: user.http.get(f"/api/users/{NO_SUCH_USER}"): 1,
    }
    for step in user.rng.choices(tuple(steps), weights=tuple(steps.values()), k=3):
        await step()


@scenario(concurrency=1, iterations=1)
async def walkthrough(user: User) -> None:
    """Create three users with two posts each, read everything back, and check the counts."""
    users, posts = 3, 2
    before = (await _ok(user.http.get("/api/stats"))).json()

    user.say(f"Creating {users} users")
    ids = []
    for number in range(1, users + 1):
        person = {"name": f"User {number}", "email": f"user{number}@example.com"}
        ids.append((await _ok(user.http.post("/api/users", json=person))).json()["id"])
        user.say(f"  created user {ids[-1]}: {person['name']} <{person['email']}>")

    user.say("Fetching all users")
    listed = (await _ok(user.http.get("/api/users"))).json()
    _check(listed["count"] == len(listed["users"]), "the list's count is its length")
    _check(set(ids) <= {row["id"] for row in listed["users"]}, "every created user is listed")
    user.say(f"  {listed['count']} users")

    user.say(f"Creating {posts} posts for each user")
    for owner in ids:
        for number in range(1, posts + 1):
            post = {"user_id": owner, "title": f"Post {number}", "content": f"Post {number} by user {owner}"}
            created = (await _ok(user.http.post("/api/posts", json=post))).json()
            user.say(f"  created post {created['id']} for user {owner}: {post['title']}")

    user.say("Fetching the posts of each user")
    for owner in ids:
        listed = (await _ok(user.http.get(f"/api/users/{owner}/posts"))).json()
        _check(listed["count"] == len(listed["posts"]) == posts, f"user {owner} has {posts} posts")
        user.say(f"  user {owner} has {listed['count']} posts")

    after = (await _ok(user.http.get("/api/stats"))).json()
    new_users, new_posts = after["users"] - before["users"], after["posts"] - before["posts"]
    if user.of == 1:  # other users create at the same time
        _check((new_users, new_posts) == (users, users * posts), "the statistics count what was created")
    user.say(f"Statistics: {after['users']} users, {after['posts']} posts")
    user.say("All operations completed successfully!")


async def _ok(request: Awaitable[httpx.Response]) -> httpx.Response:
    return (await request).raise_for_status()


def _check(holds: bool, claim: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise AssertionError(f"the server contradicts: {claim}")


@scenario
async def routes(user: User) -> None:
    """Request each path of the server that needs no parameters."""
    if "routes" not in user.data:
        async with httpx.AsyncClient(transport=WireTransport(), base_url=user.http.base_url) as asking:
            answer = await asking.get(f"{protocol.CONTROL}{protocol.ROUTES}")
        user.data["routes"] = answer.json()
    if not user.data["routes"]:
        raise AssertionError(
            "the server has no path that needs no parameters, or loadgen cannot list its routes; "
            "bring traffic with --scenario file.py, --client COMMAND or --from FILE"
        )
    for path in user.data["routes"]:
        with suppress(*UNANSWERED):
            await user.http.get(path)


SCENARIOS = (mixed, walkthrough, routes, hazards)


def find(name: str) -> Scenario:
    """Return the scenario called *name*.

    Raises:
        UsageError: it does not exist.
    """
    for one in SCENARIOS:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in SCENARIOS)
    raise UsageError(
        f"unknown scenario {name!r}",
        advice=f"The built-in ones are: {known}. For your own: --scenario file.py, or file.py:name.",
    )
