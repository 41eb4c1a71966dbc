"""The options that say what virtual users do, how many there are, and when; and what they choose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.scenario import Scenario
    from loadgen.core.pacing import Shape

Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", "-c", min=1, max=1024, help="Virtual users. [default: 8]", show_default=False
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        "-n",
        min=1,
        help="Iterations of each virtual user. [default: 10; with --from, 1]",
        show_default=False,
    ),
]
ScenarioName = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        metavar="NAME|FILE[:NAME]",
        help="What a virtual user does: mixed, walkthrough (one user, one iteration), or a scenario of a "
        "Python file of yours, all of them by weight if none is named. [default: mixed]",
        show_default=False,
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Play the requests of a HAR file, or of a list of curl commands, instead of a scenario.",
        show_default=False,
    ),
]
Duration = Annotated[
    str | None,
    typer.Option(
        "--duration",
        metavar="TIME",
        help="Begin iterations for so long (30s, 1m30s), instead of a number of them.",
        show_default=False,
    ),
]
RampUp = Annotated[
    str | None,
    typer.Option(
        "--ramp-up",
        metavar="TIME",
        help="Start the users one after the other over so long; with --rate, let it rise.",
        show_default=False,
    ),
]
Rate = Annotated[
    str | None,
    typer.Option(
        "--rate",
        metavar="RATE",
        help="Begin so many iterations (200/s, 30/m) whether or not earlier ones have ended, on up to "
        "--concurrency users; needs --duration.",
        show_default=False,
    ),
]


def shape(duration: str | None, ramp_up: str | None, rate: str | None, iterations: int | None) -> Shape:
    """Return the load's shape that the options choose.

    Raises:
        UsageError: one cannot be read, or they contradict each other.
    """
    from loadgen.core.pacing import Shape, parse_duration, parse_rate

    chosen = Shape(
        _read("--duration", duration, parse_duration),
        _read("--ramp-up", ramp_up, parse_duration) or 0,
        _read("--rate", rate, parse_rate),
    )
    if chosen.rate is not None and chosen.duration is None:
        raise UsageError("--rate needs to know for how long", advice="Add: --duration 30s")
    if chosen.duration is not None and iterations is not None:
        raise UsageError("--duration and --iterations exclude each other: give one of them")
    if chosen.duration is not None and chosen.ramp_up >= chosen.duration:
        raise UsageError(f"--ramp-up {ramp_up} does not end before --duration {duration} does")
    return chosen


def plan(scenario: str | None, from_: Path | None, *, quiet: bool) -> Scenario:
    """Return what a virtual user does; unless *quiet*, say on stderr what of a file is not played.

    Raises:
        UsageError: there is no such scenario or file, or something is wrong in it.
    """
    if from_ is None:
        from loadgen.client.builtin import find
        from loadgen.client.scenario_file import load, named_in_file

        name = scenario or "mixed"
        return load(name) if named_in_file(name) else find(name)
    if scenario is not None:
        raise UsageError("--from and --scenario exclude each other: give one of them")
    from loadgen.client.traffic.file import read
    from loadgen.client.traffic.playing import playing

    calls, notes = read(from_)
    for note in () if quiet else notes:
        print(f"{from_}: {note}", file=sys.stderr)
    return playing(from_, calls)


def _read(option: str, text: str | None, parse: Callable[[str], float]) -> float | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from error
