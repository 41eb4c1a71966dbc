"""Makes the plan of a session from the traffic of its specification."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.client.builtin import find
from loadgen.client.scenario import Scenario
from loadgen.client.scenario_file import load, named_in_file
from loadgen.client.senders import Rerun, Visitors, rerun
from loadgen.client.traffic.file import read
from loadgen.client.traffic.playing import playing
from loadgen.core.spec import (
    DEFAULT,
    FOREIGN,
    CommandTraffic,
    FileTraffic,
    ListenTraffic,
    ModeName,
    ScenarioTraffic,
)
from loadgen.errors import UsageError

BRING = (
    "To send your own: --scenario file.py, --client COMMAND, or --from FILE (HAR, curl, Postman, OpenAPI)."
)

if TYPE_CHECKING:
    from loadgen.client.traffic.call import Call
    from loadgen.core.spec import Load, RunSpec, Traffic


Plan = Scenario | Visitors | Rerun
"""The sender of a session's requests: virtual users with a scenario, or another one."""


def plan(traffic: Traffic) -> tuple[Plan, list[str]]:
    """Return the sender of the requests, with notes for the user.

    Raises:
        UsageError: the scenario, file or run does not exist, or is not valid.
    """
    match traffic:
        case ScenarioTraffic(scenario=name):
            return (load(name) if named_in_file(name) else find(name or DEFAULT)), []
        case CommandTraffic() | ListenTraffic():
            return Visitors(traffic), []
        case FileTraffic(file=name) if Path(name).is_dir():
            if traffic.hosts:
                raise UsageError(f"--host has no meaning with --from {name}: a run has only one server")
            sender, notes = rerun(Path(name), verbatim=traffic.verbatim)
            return sender, [f"{name}: {note}" for note in notes]
        case FileTraffic(file=name):
            calls, notes = read_traffic(traffic)
            return playing(Path(name), calls), [f"{name}: {note}" for note in notes]


def read_traffic(traffic: FileTraffic) -> tuple[list[Call], list[str]]:
    """Return the requests of a file, with notes for the user.

    Raises:
        UsageError: it cannot be read, or is of an unknown kind.
    """
    return read(Path(traffic.file), traffic.hosts, verbatim=traffic.verbatim)


def named(spec: RunSpec) -> tuple[RunSpec, list[str]]:
    """Return *spec* with its default scenario, if it names none, and notes for the user.

    Raises:
        UsageError: there is no scenario for its server.
    """
    if spec.traffic != ScenarioTraffic():
        return spec, []
    name = spec.default_scenario
    if name == FOREIGN and spec.mode is ModeName.PROCESS:
        raise UsageError(f"loadgen has no requests for {spec.target_name}", advice=BRING)
    notes = [f"{spec.target_name}: requesting each path that needs no parameters. {BRING}"]
    return replace(spec, traffic=ScenarioTraffic(scenario=name)), notes if name == FOREIGN else []


def decided(spec: RunSpec, scenario: Plan) -> RunSpec:
    """Return *spec* with the numbers that its *scenario* decides.

    Raises:
        UsageError: *spec* sets a number that the scenario decides.
    """
    load = spec.load
    if not isinstance(scenario, Scenario):
        scenario.check(spec)
        return replace(spec, load=replace(load, concurrency=scenario.concurrency))
    concurrency = load.concurrency or scenario.concurrency
    if unknown := [user for user in load.only if user >= concurrency]:
        raise UsageError(
            f"--only-user {unknown[0]}: there are {concurrency} virtual users, numbered from 0",
            advice="More: --concurrency.",
        )
    iterations = (
        load.iterations if load.shape.duration is not None else load.iterations or scenario.iterations
    )
    return replace(spec, load=replace(load, concurrency=concurrency, iterations=iterations))


def expected(load: Load, scenario: Plan) -> int | None:
    """Return the number of requests of a session, if it is known in advance."""
    if not isinstance(scenario, Scenario) or scenario.requests is None:
        return None
    if load.iterations is None or load.concurrency is None or load.only:
        return None
    return scenario.requests(load.concurrency) * load.iterations
