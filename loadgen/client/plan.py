"""From a specification's traffic to what a virtual user does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen.client.builtin import find
from loadgen.client.scenario_file import load, named_in_file
from loadgen.client.traffic.call import playing
from loadgen.client.traffic.file import read
from loadgen.core.spec import FileTraffic, ScenarioTraffic

if TYPE_CHECKING:
    from loadgen.client.scenario import Scenario
    from loadgen.core.spec import Load, RunSpec, Traffic


def plan(traffic: Traffic) -> tuple[Scenario, list[str]]:
    """Return what a virtual user does, and what a user should know about it.

    Raises:
        UsageError: there is no such scenario or file, or something is wrong in it.
    """
    match traffic:
        case ScenarioTraffic(scenario=name):
            return (load(name) if named_in_file(name) else find(name)), []
        case FileTraffic(file=name):
            calls, notes = read(Path(name))
            return playing(Path(name), calls), [f"{name}: {note}" for note in notes]


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
