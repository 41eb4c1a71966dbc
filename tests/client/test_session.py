"""A session: many users at once, each by itself, none of whose errors ends the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from loadgen.client.builtin import SCENARIOS, find
from loadgen.client.journal import Journal
from loadgen.client.scenario import Scenario, User
from loadgen.client.session import Outcome, Stop, fire
from loadgen.errors import UsageError
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def session(
    folder: Path,
    run: Callable[[User], Awaitable[None]],
    *,
    url: str = "http://127.0.0.1:9",
    concurrency: int = 2,
    iterations: int = 3,
    stop: Stop | None = None,
) -> tuple[Outcome, Journal]:
    with Journal(folder / "t.jsonl", folder / "bodies") as journal, anyio.fail_after(10):
        outcome = await fire(
            url,
            Scenario("test", "a test's", run),
            journal,
            concurrency=concurrency,
            iterations=iterations,
            seed=1,
            timeout=5,
            stop=stop or Stop(),
            say=lambda line: None,
        )
    return outcome, journal


async def test_every_user_does_its_iterations(tmp_path: Path) -> None:
    """Each user runs each iteration once, in its own order, keeping its own state; users run at once."""
    lived: list[tuple[int, int]] = []
    all_there = anyio.Event()

    async def run(user: User) -> None:
        turn = user.data["turn"] = user.data.get("turn", 0) + 1
        lived.append((user.id, turn))
        if len({number for number, _ in lived}) == user.of:
            all_there.set()
        await all_there.wait()

    outcome, _ = await session(tmp_path, run, concurrency=5)
    assert (outcome.iterations, outcome.failed) == (15, 0)
    for number in range(5):
        assert [turn for who, turn in lived if who == number] == [1, 2, 3]


async def test_an_error_ends_its_iteration_only(tmp_path: Path) -> None:
    """A failed iteration is counted with its error, and the user goes on."""

    async def run(user: User) -> None:
        if user.id == 1:
            raise AssertionError("the server contradicts")

    outcome, _ = await session(tmp_path, run)
    assert (outcome.iterations, outcome.failed) == (6, 3)
    assert outcome.errors == {"AssertionError: the server contradicts": 3}


async def test_stopping_finishes_what_is_under_way(tmp_path: Path) -> None:
    """After the stop, open requests are answered, none is begun, and the journal has no open end."""
    stop = Stop()

    async def answer(received: Received) -> bytes:
        stop.requested = True
        await anyio.sleep(0.01)
        return OK

    async def run(user: User) -> None:
        await user.http.get("/")

    async with raw_server(answer) as server:
        outcome, journal = await session(
            tmp_path, run, url=server.url, concurrency=3, iterations=10**6, stop=stop
        )
        assert journal.requests == len(server.requests) <= 3
    assert (journal.open_requests, journal.failures, outcome.failed) == (0, 0, 0)


async def test_a_server_that_is_gone_fails_iterations(tmp_path: Path) -> None:
    """Requests that nobody answers are failures of the journal and of their iterations."""

    async def answer(received: Received) -> None:
        return None

    async def run(user: User) -> None:
        await user.http.get("/")

    async with raw_server(answer) as server:
        outcome, journal = await session(tmp_path, run, url=server.url)
        assert len(server.requests) == 6
    assert (outcome.failed, journal.failures, journal.requests) == (6, 6, 6)


async def test_users_choose_for_themselves(tmp_path: Path) -> None:
    """The same seed gives each user its own choices, whatever the others do."""

    async def choices(folder: Path, concurrency: int) -> dict[int, list[float]]:
        chosen: dict[int, list[float]] = {}

        async def run(user: User) -> None:
            chosen.setdefault(user.id, []).append(user.rng.random())

        folder.mkdir()
        await session(folder, run, concurrency=concurrency)
        return chosen

    few, many = await choices(tmp_path / "few", 2), await choices(tmp_path / "many", 4)
    assert few == {number: many[number] for number in (0, 1)}
    assert len({tuple(numbers) for numbers in many.values()}) == 4


def test_scenarios_are_found_by_name() -> None:
    """Every built-in scenario is found by its name; another name is a usage error that lists them."""
    for scenario in SCENARIOS:
        assert find(scenario.name) is scenario
    with pytest.raises(UsageError) as caught:
        find("no such")
    assert "'no such'" in caught.value.message
    assert all(scenario.name in caught.value.advice for scenario in SCENARIOS)


async def test_the_walkthrough_checks_what_it_is_told() -> None:
    """A server that miscounts is contradicted: the walkthrough is a test of the server, not only load."""
    counted = {"users": 0, "posts": 0}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            counted["posts" if "posts" in request.url.path else "users"] += 1
            return httpx.Response(201, json={"id": counted["users"]})
        if request.url.path == "/api/stats":
            return httpx.Response(200, json=counted)
        if request.url.path.endswith("/posts"):
            return httpx.Response(200, json={"count": 2, "posts": [{}, {}]})
        users = [{"id": number} for number in range(1, counted["users"] + 1)]
        return httpx.Response(200, json={"count": len(users) + wrong, "users": users})

    async def walk() -> list[str]:
        told: list[str] = []
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            from random import Random

            await find("walkthrough").run(User(0, 1, http, Random(1), told.append))
        return told

    wrong = 0
    assert (await walk())[-1] == "All operations completed successfully!"
    wrong = 1
    with pytest.raises(AssertionError, match="the list's count is its length"):
        await walk()
