"""A session: many concurrent, independent users, whose errors do not end the run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from loadgen.client.builtin import SCENARIOS, find
from loadgen.client.scenario import Scenario, User
from loadgen.client.session import fire
from loadgen.core.events import SessionEnd, Visit
from loadgen.core.exchange import Request
from loadgen.core.pacing import AT_ONCE, Shape
from loadgen.core.stop import Stop
from loadgen.core.transcript import FailedIteration, Reader, Run, encode
from loadgen.errors import UsageError
from loadgen.record import nothing_recorded
from loadgen.store.journal import Journal
from loadgen.store.run_folder import read_transcript
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from loadgen.core.transcript import Event

pytestmark = pytest.mark.anyio


async def session(
    folder: Path,
    run: Callable[[User], Awaitable[None]],
    *,
    url: str = "http://127.0.0.1:9",
    concurrency: int = 2,
    iterations: int = 3,
    stop: Stop | None = None,
    shape: Shape = AT_ONCE,
    users: Sequence[int] | None = None,
    **more: Any,
) -> tuple[SessionEnd, Journal]:
    with Journal(folder / "t.jsonl", folder / "bodies") as journal, anyio.fail_after(60):
        outcome = await fire(
            url,
            Scenario("test", "a test's", run, **more),
            journal,
            concurrency=concurrency,
            iterations=iterations,
            seed=1,
            timeout=5,
            stop=stop or Stop(),
            say=lambda line: None,
            shape=shape,
            users=users,
        )
    return outcome, journal


def written(folder: Path) -> list[tuple[Event, float | None]]:
    """Return the journal's events, each with when it was due."""
    with read_transcript(folder / "t.jsonl", folder / "bodies") as events:
        first = Run("r", "test", 1, 1, 1, "")  # the session writes none
        lines = [json.dumps({"event": "run", **encode(first, lambda *_: None)[1]}).encode() + b"\n"]
        reader = Reader([*lines, *events._lines], events._fetch, name="t")
        return [(event, reader.due) for event in reader][1:]


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
    assert len(outcome.errors) == 1
    (told,) = outcome.errors
    assert re.fullmatch(r"test: AssertionError: the server contradicts \(test_session.py, line \d+\)", told)
    failed = [event for event, _ in written(tmp_path)]
    assert [(one.user, one.iteration, one.kind, one.seq) for one in failed] == [  # type: ignore[union-attr]
        (1, number, "AssertionError", 0) for number in (1, 2, 3)
    ]


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


async def test_a_failed_assertion_is_written_down(tmp_path: Path) -> None:
    """It names the request that it is about, its line, and, if it says nothing, what it asserts."""

    async def answer(received: Received) -> bytes:
        return OK

    async def run(user: User) -> None:
        answered = await user.http.get("/")
        assert answered.text == "okay"

    async with raw_server(answer) as server:
        outcome, _ = await session(tmp_path, run, url=server.url, concurrency=1, iterations=2)
    failed = [event for event, _ in written(tmp_path) if isinstance(event, FailedIteration)]
    assert (outcome.iterations, outcome.failed) == (2, 2)
    assert [(one.iteration, one.seq) for one in failed] == [(1, 1), (2, 2)]
    assert failed[0].message.startswith('assert answered.text == "okay"') or "okay" in failed[0].message
    assert failed[0].where.startswith("test_session.py, line ")


async def test_a_scenario_that_exits_ends_its_iteration(tmp_path: Path) -> None:
    """sys.exit in a scenario ends the iteration, not loadgen."""

    async def run(user: User) -> None:
        raise SystemExit(3)

    outcome, _ = await session(tmp_path, run)
    assert (outcome.iterations, outcome.failed) == (6, 6)
    assert next(iter(outcome.errors)).startswith("test: SystemExit: 3 (test_session.py, line ")


async def test_set_up_and_tear_down(tmp_path: Path) -> None:
    """Each user is set up once before, and torn down once after; if the set-up fails, it does not iterate."""
    lived: list[tuple[int, str]] = []

    async def setup(user: User) -> None:
        lived.append((user.id, "set up"))
        if user.id == 1:
            raise AssertionError("refused")

    async def teardown(user: User) -> None:
        lived.append((user.id, "torn down"))

    async def run(user: User) -> None:
        lived.append((user.id, "iterates"))

    for shape in (AT_ONCE, Shape(0.02, 0, 200)):
        lived.clear()
        folder = tmp_path / str(shape.rate)
        folder.mkdir()
        outcome, _ = await session(folder, run, iterations=2, setup=setup, teardown=teardown, shape=shape)
        assert [what for who, what in lived if who == 1] == ["set up"]
        mine = [what for who, what in lived if who == 0]
        assert mine == ["set up", *["iterates"] * (2 if shape is AT_ONCE else 4), "torn down"]
        assert outcome.failed == 1
        (failed,) = [event for event, _ in written(folder)]
        assert isinstance(failed, FailedIteration)
        assert (failed.user, failed.iteration, failed.scenario, failed.message) == (1, 0, "setup", "refused")


@pytest.mark.slow
async def test_arrivals_wait_for_a_free_user_and_count_from_when_they_were_due(tmp_path: Path) -> None:
    """While the only user is held up, iterations fall due; none is left out, and their waiting is counted."""
    last_due = 0.19
    held = True

    async def answer(received: Received) -> bytes:
        nonlocal held
        if held:
            await anyio.sleep(last_due + 0.1)
        held = False
        return OK

    async def run(user: User) -> None:
        await user.http.get("/first")
        await user.http.get("/then")

    async with raw_server(answer) as server:
        shape = Shape(0.2, 0, 100)
        outcome, journal = await session(tmp_path, run, url=server.url, concurrency=1, shape=shape)
    assert (outcome.iterations, outcome.waited, journal.requests) == (20, 19, 40)
    assert outcome.longest_wait >= last_due
    dues = [due for event, due in written(tmp_path) if isinstance(event, Request)]
    firsts = [due for due in dues if due is not None]
    assert [due is None for due in dues] == [False, True] * 20, "a later request follows the one before it"
    assert [due - firsts[0] for due in firsts] == pytest.approx(
        [number / 100 for number in range(20)], abs=1e-5
    )
    assert journal.corrected.count == journal.latency.count == 40
    assert journal.corrected.percentile(90) >= 0.1
    assert journal.corrected.percentile(60) > journal.latency.percentile(60)


async def test_arrivals_find_free_users(tmp_path: Path) -> None:
    """A slow iteration does not delay others while another user is free."""
    seen: list[str] = []
    all_seen = anyio.Event()

    async def answer(received: Received) -> bytes:
        seen.append(received.target.decode())
        if len(seen) == 4:
            all_seen.set()
        await all_seen.wait()
        return OK

    async def run(user: User) -> None:
        await user.http.get(f"/{user.id}")

    async with raw_server(answer) as server:
        shape = Shape(0.04, 0, 100)
        outcome, _ = await session(tmp_path, run, url=server.url, concurrency=4, shape=shape)
    assert (outcome.iterations, outcome.waited) == (4, 0)
    assert sorted(seen) == ["/0", "/1", "/2", "/3"]


@pytest.mark.slow
async def test_a_duration_begins_nothing_after_it_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    """Iterations that are under way at the end are finished; no further one is begun."""

    async def answer(received: Received) -> bytes:
        await anyio.sleep(0.3)
        return OK

    async def run(user: User) -> None:
        await user.http.get("/")
        await user.http.get("/")

    async with raw_server(answer) as server:
        shape = Shape(0.5)
        outcome, journal = await session(tmp_path, run, url=server.url, concurrency=3, shape=shape)
    assert (outcome.failed, journal.failures, journal.requests) == (0, 0, outcome.iterations * 2)
    assert 1 <= outcome.iterations <= 3, "an iteration takes longer than the duration: nobody began a second"


@pytest.mark.slow
async def test_a_duration_ends_iterations_that_wait_for_nothing(tmp_path: Path) -> None:
    """Even a scenario that never waits lets the time pass."""

    async def run(user: User) -> None:
        user.data["n"] = user.data.get("n", 0) + 1

    outcome, _ = await session(tmp_path, run, shape=Shape(0.5))
    assert outcome.iterations >= 1


@pytest.mark.slow
async def test_think_time_is_between_iterations(tmp_path: Path) -> None:
    """Nobody thinks after the last iteration, nor longer than the duration; without it, all are run."""
    lived: list[int] = []

    async def run(user: User) -> None:
        lived.append(user.id)

    for shape, think, iterations in ((AT_ONCE, 3600, 1), (Shape(0.5), 3600, 0), (AT_ONCE, 0.01, 3)):
        lived.clear()
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        await session(folder, run, concurrency=1, iterations=iterations, think=(think, think), shape=shape)
        assert len(lived) == max(iterations, 1)


async def test_users_start_one_after_the_other(tmp_path: Path) -> None:
    """Ramped up, users begin in their order."""
    began: list[int] = []

    async def run(user: User) -> None:
        began.append(user.id)

    await session(tmp_path, run, concurrency=5, iterations=1, shape=Shape(None, 0.05))
    assert began == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shape", [AT_ONCE, Shape(3600, 0, 0.001), Shape(3600, 3000)], ids=str)
async def test_stopping_wakes_who_pauses(tmp_path: Path, shape: Shape) -> None:
    """Neither think time, nor a distant arrival, nor a slow ramp holds up the end."""
    stop = Stop()

    async def run(user: User) -> None:
        stop.requested = True

    outcome, _ = await session(tmp_path, run, stop=stop, think=(3600, 3600), shape=shape)
    assert outcome.failed == 0


async def test_stopping_is_no_failure_that_a_scenario_could_catch(tmp_path: Path) -> None:
    """A scenario that catches every error, or that sends from tasks of its own, ends all the same."""
    stop = Stop()

    async def answer(received: Received) -> bytes:
        stop.requested = True
        return OK

    async def run(user: User) -> None:
        try:
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(user.http.get, "/")
            await user.http.get("/")
        except Exception as error:
            raise AssertionError("caught") from error

    async with raw_server(answer) as server:
        outcome, _ = await session(tmp_path, run, url=server.url, iterations=10**6, stop=stop)
    assert outcome.failed == 0


async def test_other_servers_are_refused(tmp_path: Path) -> None:
    """A request elsewhere would be replayed as one to the server under test, so it is not sent."""

    async def answer(received: Received) -> bytes:
        return b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"

    async def run(user: User) -> None:
        await user.http.get("/", follow_redirects=True)

    async with raw_server(answer) as server:
        outcome, journal = await session(tmp_path, run, url=server.url, concurrency=1, iterations=1)
    assert (outcome.failed, journal.requests) == (1, 1)
    assert "use a separate client" in next(iter(outcome.errors))


async def test_users_choose_for_themselves(tmp_path: Path) -> None:
    """The same seed gives each user its own choices, whatever the others do."""

    async def choices(
        folder: Path, concurrency: int, users: Sequence[int] | None = None
    ) -> dict[int, list[float]]:
        chosen: dict[int, list[float]] = {}

        async def run(user: User) -> None:
            assert user.of == concurrency
            chosen.setdefault(user.id, []).append(user.rng.random())

        folder.mkdir()
        outcome, _ = await session(folder, run, concurrency=concurrency, users=users)
        assert not outcome.failed
        return chosen

    few, many = await choices(tmp_path / "few", 2), await choices(tmp_path / "many", 4)
    assert few == {number: many[number] for number in (0, 1)}
    assert len({tuple(numbers) for numbers in many.values()}) == 4
    assert await choices(tmp_path / "some", 4, [1, 3]) == {number: many[number] for number in (1, 3)}


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


def test_why_there_is_no_request() -> None:
    """A scenario that fails before its first request says why, and a client what it ended with."""
    said = nothing_recorded(SessionEnd(errors={"shop: KeyError: 'id' (load.py, line 4)": 8}))
    assert said.endswith("the scenario issued no request; 8 x shop: KeyError: 'id' (load.py, line 4)")
    assert nothing_recorded(SessionEnd()).endswith("the scenario issued no request")
    visit = Visit(connections=0, most_open=0, exit_code=7)
    assert nothing_recorded(SessionEnd(visit=visit)).endswith("sent no request and ended with exit code 7")
