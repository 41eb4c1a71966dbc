"""``loadgen stress`` and ``loadgen shrink``: many trials, to find what fails, and the smallest case of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.passing import PassingCommand, handed_on
from loadgen.errors import Interrupted

if TYPE_CHECKING:
    from loadgen.hunt.fleet import Fleet

JOBS = max(1, (os.cpu_count() or 1) // 2)
"""Trials at a time: each keeps a server and a client busy."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command(cls=PassingCommand, short_help="Record and verify many times: how often is it identical?")(
        stress
    )


def stress(
    context: typer.Context,
    target: Annotated[
        list[str] | None, typer.Argument(help="As for loadgen record.", show_default=False)
    ] = None,
    concurrency: Annotated[
        str, typer.Option("--concurrency", "-c", metavar="LIST", help="Virtual users: 8, or 1,2,4,8.")
    ] = "1,2,4,8,16,32",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="LIST", help="Seeds, a trial each: 1..20, or 3,7.")
    ] = "1..20",
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="As for loadgen record. May be repeated.", show_default=False),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="local, or docker. May be repeated.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=1024, help="Trials at a time.")] = JOBS,
    until_failure: Annotated[
        bool, typer.Option("--until-failure", help="Stop at the first trial that diverges.")
    ] = False,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin no trial after 90s, 10m, 1h.", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where to keep it; one that was interrupted goes on. [default: a new one in stress/]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the files of identical trials, too.")] = False,
    trial_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Give up a trial's recording, or its replay, after this.")
    ] = "10m",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the summary only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Record and verify again and again, and tell how often the replay was identical.

    Every combination of concurrency, scenario and runtime is tried with every seed, each trial in processes
    of its own. All other options of loadgen record and loadgen verify may be given, and go to each trial.
    """
    from loadgen.cli import show, show_hunts
    from loadgen.cli.main import say
    from loadgen.hunt.fleet import Here
    from loadgen.hunt.folder import HuntFolder
    from loadgen.hunt.grid import Grid, numbers, seconds
    from loadgen.hunt.stress import Ended, Until
    from loadgen.hunt.stress import stress as call

    options = handed_on(context)
    grid = Grid(
        target=(*(target or ()), *options.command),
        concurrency=numbers(concurrency, "--concurrency"),
        seeds=numbers(seeds, "--seeds"),
        scenarios=tuple(dict.fromkeys(scenario or ())),
        runtimes=tuple(dict.fromkeys(runtime or ())),
        record=options.record,
        verify=options.verify,
    )
    until = Until(
        failure=until_failure,
        seconds=None if time_budget is None else seconds(time_budget, "--time-budget"),
        keep=keep,
        limit=seconds(trial_limit, "--trial-limit"),
    )
    fleet: Fleet = Here(jobs)
    with HuntFolder.open(folder, grid, _versions()) as hunt:
        ended = Ended.INTERRUPTED
        try:
            with show_hunts.Progress(quiet=quiet or as_json) as progress:
                ended = show.interruptible(lambda stop: call(hunt, fleet, until, stop, progress))
        finally:
            summary = hunt.conclude(ended)
        say(
            show_hunts.summary_json(summary, hunt.path) if as_json else show_hunts.summary(summary, hunt.path)
        )
    if ended is Ended.INTERRUPTED:
        raise Interrupted("interrupted: finished trials are kept", advice=_go_on(hunt.path))
    raise typer.Exit(summary.judgement.exit_code)


def _versions() -> dict[str, str]:
    """Return what must be the same for trials to be counted together."""
    from loadgen.engine import retrace

    return {name: value for name, value in retrace.versions().items() if name != "installation"}


def _go_on(folder: Path) -> str:
    import shlex

    arguments = sys.argv[1:]
    if "--folder" not in arguments:
        arguments[1:1] = ["--folder", str(folder)]
    return f"Go on with: {shlex.join(['loadgen', *arguments])}"
