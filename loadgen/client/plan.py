"""From a specification's traffic to what a virtual user does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.client.builtin import find
from loadgen.client.scenario_file import load, named_in_file
from loadgen.client.traffic.file import read
from loadgen.client.traffic.playing import playing
from loadgen.core.spec import DEFAULT, FOREIGN, FileTraffic, ModeName, ScenarioTraffic
from loadgen.errors import UsageError

BRING = "Your own traffic: --scenario file.py, or --from a HAR file, curl commands, Postman, OpenAPI."

if TYPE_CHECKING:
    from loadgen.client.scenario import Scenario
    from loadgen.client.traffic.call import Call
    from loadgen.core.spec import Load, RunSpec, Traffic


def plan(traffic: Traffic) -> tuple[Scenario, list[str]]:
    """Return what a virtual user does, and what a user should know about it.

    Raises:
        UsageError: there is no such scenario or file, or something is wrong in it.
    """
    match traffic:
        case ScenarioTraffic(scenario=name):
            return (load(name) if named_in_file(name) else find(name or DEFAULT)), []
        case FileTraffic(file=name):
            calls, notes = read_traffic(traffic)
            return playing(Path(name), calls), [f"{name}: {note}" for note in notes]


def read_traffic(traffic: FileTraffic) -> tuple[list[Call], list[str]]:
    """Return the requests of a file, and what a user should know about it.

    Raises:
        UsageError: it cannot be read, or is of no known kind.
    """
    return read(Path(traffic.file), traffic.hosts, verbatim=traffic.verbatim)


def named(spec: RunSpec) -> tuple[RunSpec, list[str]]:
    """Return *spec* with the scenario that it leaves open, and what a user should know about that.

    Raises:
        UsageError: there is none for its server.
    """
    if spec.traffic != ScenarioTraffic():
        return spec, []
    name = spec.default_scenario
    if name == FOREIGN and spec.mode is ModeName.PROCESS:
        raise UsageError(f"there is no traffic for {spec.target_name}", advice=BRING)
    notes = [f"{spec.target_name}: its paths that need no parameters are asked for. {BRING}"]
    return replace(spec, traffic=ScenarioTraffic(scenario=name)), notes if name == FOREIGN else []


def decided(spec: RunSpec, scenario: Scenario) -> RunSpec:
    """Return *spec* with the numbers that it leaves to its *scenario*."""
    load = spec.load
    concurrency = load.concurrency or scenario.concurrency
    iterations = (
        load.iterations if load.shape.duration is not None else load.iterations or scenario.iterations
    )
    return replace(spec, load=replace(load, concurrency=concurrency, iterations=iterations))


def expected(load: Load, scenario: Scenario) -> int | None:
    """Return how many requests a session will issue, if its scenario knows, and time does not decide."""
    if scenario.requests is None or load.iterations is None or load.concurrency is None:
        return None
    return scenario.requests(load.concurrency) * load.iterations
