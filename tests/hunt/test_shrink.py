"""Shrink: its scenario file is run against a server that fails when two reservations overlap."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from loadgen.core.exchange import Request, Response
from loadgen.core.spec import RunSpec, ScenarioTraffic, VerifySpec
from loadgen.core.stop import Stop
from loadgen.core.verdict import Judgement
from loadgen.core.workload import Workload, read
from loadgen.errors import Undetermined, UsageError
from loadgen.hunt import scenario_text as writing
from loadgen.hunt.oracle import FailureSignature, Oracle, ShrinkObserver, TrialSettings
from loadgen.hunt.scenario_text import scenario_text
from loadgen.hunt.shrink import Shrunk, shrink
from loadgen.hunt.trial import TrialCause, TrialPlan, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON = (("Content-Type", "application/json"),)
KIND = "POST /items/N/reserve: body:$.ticket differs"
SIGN = FailureSignature(Judgement.DIVERGED, frozenset({KIND}))


class Shop:
    """What the example's server does, without one."""

    def __init__(self) -> None:
        self.items = 0
        self.busy: set[str] = set()
        self.conflicts = 0
        self.asked: list[tuple[str, str, Any]] = []

    async def __call__(self, method: str, target: str, json: Any = None) -> Any:
        """Answer a request; reservations take a while."""
        self.asked.append((method, target, json))
        await anyio.lowlevel.checkpoint()
        if (method, target) == ("POST", "/items"):
            self.items += 1
            return SimpleNamespace(json=partial(dict, id=self.items))
        if target.endswith("/reserve") and int(target.split("/")[2]) <= self.items:
            self.conflicts += target in self.busy
            self.busy.add(target)
            for _ in range(4):
                await anyio.lowlevel.checkpoint()
            self.busy.discard(target)
        return SimpleNamespace(json=dict)


async def run_case(text: str) -> Shop:
    """Run the scenario that *text* has as ``loadgen record`` does."""
    module: dict[str, Any] = {}
    exec(compile(text, "case.py", "exec"), module)
    scenario, shop = module[writing.NAME], Shop()
    async with anyio.create_task_group() as group:
        for number in range(scenario.concurrency):
            http = SimpleNamespace(post=partial(shop, "POST"), get=partial(shop, "GET"))
            user: Any = SimpleNamespace(id=number, of=scenario.concurrency, http=http)
            group.start_soon(scenario.run, user)
    return shop


def shopping(users: int, rounds: int, rng: Random) -> Workload:
    """Return a session in which, once, two users reserved the same item at the same time."""
    events: list[object] = []
    seq = 0

    def ask(user: int, method: str, target: str, body: object = None) -> int:
        nonlocal seq
        seq += 1
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        events.append(Request(seq, user, method, target, JSON if body else (), content))
        return seq

    def answer(number: int, body: object) -> None:
        events.append(Response(number, 200, JSON, json.dumps(body).encode()))

    for user in range(users):
        made = ask(user, "POST", "/items", {"name": "x", "stock": 5})
        answer(made, {"id": user + 1})
    for turn in range(rounds):
        opened = []
        for user in range(users):
            item = 2 if turn == rounds // 2 and user in {0, 3} else user + 1
            what = "reserve" if item == 2 or rng.random() < 0.2 else "notes"
            opened.append(ask(user, "POST", f"/items/{item}/{what}", {"text": "y"}))
        rng.shuffle(opened)
        for number in opened:
            answer(number, {})
    return read(events)


@dataclass
class CaseFleet:
    """Runs each candidate's file; what conflicts diverges, at some rate."""

    chance: Callable[[Shop], bool] = lambda shop: shop.conflicts > 0
    slots: int = 2
    name: str = "here"
    made: list[Path] = field(default_factory=list)

    async def run(self, plan: TrialPlan, folder: Path, *, limit: float) -> TrialResult:
        """Try one candidate."""
        assert isinstance(plan.record.traffic, ScenarioTraffic)
        file = plan.record.traffic.scenario.removesuffix(f":{writing.NAME}")
        shop = await run_case(await anyio.Path(file).read_text())
        assert plan.record.target == ("serve.py",)
        folder.mkdir()
        if not self.chance(shop):
            return TrialResult(judgement=Judgement.IDENTICAL)
        cause = TrialCause("application", KIND, "it differs", "", 1)
        return TrialResult(judgement=Judgement.DIVERGED, causes=(cause,), folder=str(folder))


def shrunk(
    tmp_path: Path, workload: Workload, fleet: CaseFleet, head: int | None = None, stop: Stop | None = None
) -> Shrunk:
    setting = TrialSettings(
        fleet=fleet,
        record=RunSpec(target=("serve.py",)),
        verify=VerifySpec(),
        sign=SIGN,
        folder=tmp_path / "work",
    )
    observer = ShrinkObserver()
    oracle = Oracle(setting, stop or Stop(), observer)
    return anyio.run(partial(shrink, workload, head, oracle, observer, 20, tmp_path / "example"))


@pytest.mark.slow
@pytest.mark.parametrize("guided", [True, False])
def test_two_reservations_are_what_is_left(tmp_path: Path, guided: bool) -> None:  # noqa: FBT001
    """The item and the two requests that overlapped remain, by two users; and the file runs."""
    workload = shopping(6, 12, Random(1))
    conflict = [step.seq for step in workload.steps if "/reserve" in str(step.path) and step.user == 3]
    result = shrunk(tmp_path, workload, CaseFleet(), conflict[0] if guided else None)
    assert len(result.original.steps) == 78
    assert (len(result.workload.steps), result.workload.users, result.complete) == (
        3,
        result.workload.users,
        True,
    )
    assert len(result.workload.users) == 2
    assert (result.measured.failures, result.measured.trials) == (20, 20)
    assert (tmp_path / "example").is_dir()
    assert not list((tmp_path / "work").iterdir())
    shop = anyio.run(run_case, scenario_text(result.workload, "What is left."))
    assert shop.conflicts == 1
    assert [target for _, target, _ in shop.asked] == ["/items", "/items/1/reserve", "/items/1/reserve"]
    assert {json for *_, json in shop.asked} == {None}


@pytest.mark.slow
def test_luck_is_told_from_a_pass(tmp_path: Path) -> None:
    """A failure that shows in two of three trials is shrunk as far, and its rate is told."""
    rng = Random(7)
    fleet = CaseFleet(lambda shop: shop.conflicts > 0 and rng.random() < 0.67)
    result = shrunk(tmp_path, shopping(6, 12, Random(1)), fleet)
    assert len(result.workload.steps) <= 6
    assert 0.5 <= result.measured.rate < 1


@pytest.mark.slow
def test_what_does_not_fail_again_is_undetermined(tmp_path: Path) -> None:
    """Nothing is claimed of a run that passes whenever it is sent again."""
    with pytest.raises(Undetermined, match="did not fail again in 30 trials"):
        shrunk(tmp_path, shopping(4, 4, Random(1)), CaseFleet(lambda _: False))


def test_stopped_it_keeps_what_it_has(tmp_path: Path) -> None:
    """Interrupted, it returns the smallest case until then, and says that it is not complete."""
    stop, tried = Stop(), 0

    def chance(shop: Shop) -> bool:
        nonlocal tried
        tried += 1
        stop.requested = tried > 12
        return shop.conflicts > 0

    result = shrunk(tmp_path, shopping(6, 12, Random(1)), CaseFleet(chance), stop=stop)
    assert not result.complete
    assert 3 <= len(result.workload.steps) <= 78


def test_what_the_commands_refuse_is_raised(tmp_path: Path) -> None:
    """A mistake in the options is told as it is."""

    def refuse(_: Shop) -> bool:
        raise UsageError("no such option")

    with pytest.raises(UsageError, match="no such option"):
        shrunk(tmp_path, shopping(4, 4, Random(1)), CaseFleet(refuse))


def test_the_whole_session_can_be_sent_again() -> None:
    """A file of all requests sends them all, in an order that the session allows, with this time's ids."""
    workload = shopping(5, 6, Random(3))
    shop = anyio.run(run_case, scenario_text(workload, "All."))
    assert len(shop.asked) == len(workload.steps)
    assert shop.conflicts >= 1


def test_a_user_that_fails_lets_the_others_go() -> None:
    """Where an answer lacks what another request needs, nobody waits for ever."""
    workload = shopping(5, 6, Random(3))
    text = scenario_text(workload, "All.").replace('user.http.post("/items"', 'user.http.get("/nothing"', 1)

    async def within_time() -> None:
        with anyio.fail_after(60):
            await run_case(text)

    with pytest.raises(BaseExceptionGroup) as raised:
        anyio.run(within_time)
    assert raised.group_contains(KeyError)


@pytest.mark.parametrize(
    "request_",
    [
        Request(1, 0, "PROPFIND", '/a"b\\{x}', (("X-A", "it's"),), b"\x00\xff"),
        Request(1, 0, "DELETE", "/a?b={c}&d", JSON, b'{"a":null,"b":[true,"\xc3\xa9"]}'),
        Request(1, 0, "GET", "/plain", ()),
    ],
)
def test_odd_requests_are_written_as_they_are(request_: Request) -> None:
    """Any method, target, header and body is python that means the same."""
    asked: list[tuple[Any, Any]] = []

    async def take(*arguments: Any, **named: Any) -> None:
        asked.append((arguments, named))

    module: dict[str, Any] = {}
    exec(compile(scenario_text(read([request_]), "One."), "case.py", "exec"), module)
    user: Any = SimpleNamespace(id=0, http=SimpleNamespace(get=partial(take, "GET"), request=take))
    anyio.run(module[writing.NAME].run, user)
    ((method, target), named) = asked[0]
    assert (method, target) == (request_.method, request_.target)
    body = named.get("content", b"")
    if "json" in named:
        body = json.dumps(named["json"], separators=(",", ":"), ensure_ascii=False).encode()
    assert body == request_.body
    assert dict(named.get("headers", ())) == {k: v for k, v in request_.headers if (k, v) not in JSON}
