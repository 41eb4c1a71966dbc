"""All that the server of libraries serves, in another order for each user."""

from loadgen import User, scenario

PATHS = (
    "/logs", "/metrics", "/failure", "/ticks", "/futures", "/again", "/cached", "/caches", "/limited",
    "/stores", "/locks", "/documents", "/tables", "/identifiers", "/secrets", "/clocks",
)  # fmt: skip


@scenario
async def look(user: User) -> None:
    for path in user.rng.sample(PATHS, len(PATHS)):
        answer = await user.http.get(path)
        assert answer.status_code in {200, 429}, (path, answer.text)
