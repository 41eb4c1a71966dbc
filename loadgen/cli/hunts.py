"""``loadgen stress`` and ``loadgen shrink``: many trials to find a failure, and its smallest case."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen import __version__
from loadgen.cli import exports
from loadgen.cli.fleets import JOBS, Address, TlsFile, cluster_at, connected, files_of
from loadgen.cli.options import names, taking
from loadgen.core.option import shell
from loadgen.core.spec import Label, RunSpec, Runtime, ScenarioTraffic, SecretSpec, VerifySpec
from loadgen.errors import Interrupted, LoadgenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.core.stop import Stop
    from loadgen.hunt.folder import HuntFolder
    from loadgen.hunt.grid import Grid
    from loadgen.hunt.summary import Summary

OWN = (
    *names(Label, SecretSpec),
    "checkout",
    "concurrency",
    "seed",
    "scenario",
    "runtime",
    "explain",
)
"""Fields of the specifications that a search varies, or that make sense only for a single run."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    grid = taking(record=RunSpec, verify=VerifySpec, without=OWN)
    app.command(short_help="Record and verify many times; report the failure rate.")(grid(stress))
    app.command(short_help="Reduce a failing run to its smallest failing case.")(shrink)


def stress(
    record: RunSpec,
    verify: VerifySpec,
    concurrency: Annotated[
        str,
        typer.Option(
            "--concurrency", "-c", metavar="LIST", help="Numbers of virtual users to try: 8, or 1,2,4,8."
        ),
    ] = "1,2,4,8,16,32",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="LIST", help="Seeds, one trial each: 1..20, or 3,7.")
    ] = "1..20",
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            metavar="NAME|FILE[:NAME]",
            help="As for loadgen record. May be repeated.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime", metavar="local|docker", help="Where to run. May be repeated.", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=1024, help="Number of trials at a time.")
    ] = JOBS,
    until_failure: Annotated[
        bool, typer.Option("--until-failure", help="Stop at the first trial that diverges.")
    ] = False,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Start no trial after this time (90s, 10m, 1h).", show_default=False
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Output folder; an existing one is resumed. [default: a new one in stress/]",
            show_default=False,
        ),
    ] = None,
    cluster: Address = None,
    tls_ca: TlsFile = None,
    tls_cert: TlsFile = None,
    tls_key: TlsFile = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the files of identical trials too, not only of failures.")
    ] = False,
    trial_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Time limit for each trial's record or replay step.")
    ] = "10m",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the summary only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Record and verify many times, and report how often the replay was identical (95 % confidence).

    Every combination of concurrency, scenario and runtime is tried with every seed, each trial in separate
    processes. Other options of loadgen record and loadgen verify are passed to each trial.
    """
    from loadgen.cli import show_hunts
    from loadgen.cli.output import say
    from loadgen.cli.running import interruptible
    from loadgen.hunt.folder import HuntFolder
    from loadgen.hunt.grid import Grid, concurrencies, numbers, seconds
    from loadgen.hunt.stress import StopReason, Until
    from loadgen.hunt.stress import stress as call

    grid = Grid(
        record=record,
        verify=verify,
        concurrency=concurrencies(concurrency),
        seeds=numbers(seeds, "--seeds"),
        scenarios=tuple(dict.fromkeys(scenario or ())),
        runtimes=tuple(dict.fromkeys(runtime or ())),
    )
    until = Until(
        failure=until_failure,
        seconds=None if time_budget is None else seconds(time_budget, "--time-budget"),
        keep=keep,
        limit=seconds(trial_limit, "--trial-limit"),
    )
    if cluster is not None:
        grid = grid.absolute()
    files = _files(grid)
    elsewhere = cluster_at(cluster, files, (tls_ca, tls_cert, tls_key), keep=keep)

    async def work(stop: Stop) -> StopReason:
        async with connected(elsewhere, jobs) as fleet:
            return await call(hunt, fleet, until, stop, progress)

    with HuntFolder.open(folder, grid, _versions(files)) as hunt:
        ended = StopReason.INTERRUPTED
        try:
            with show_hunts.StressProgress(quiet=quiet or as_json) as progress:
                ended = interruptible(work)
        finally:
            summary = hunt.conclude(ended)
            _page(hunt, summary)
        say(
            show_hunts.summary_json(summary, hunt.path) if as_json else show_hunts.summary(summary, hunt.path)
        )
    if ended is StopReason.INTERRUPTED:
        raise Interrupted("interrupted: finished trials are kept", advice=_go_on(hunt.path))
    raise typer.Exit(summary.judgement.exit_code)


def _versions(files: Mapping[str, str]) -> dict[str, str]:
    """Return the versions that must be equal for trials to be counted together."""
    from hashlib import sha256

    from loadgen.engine import retrace

    here = {name: value for name, value in retrace.versions().items() if name != "installation"}
    return {**here, "files": sha256(repr(sorted(files.items())).encode()).hexdigest()}


def _page(hunt: HuntFolder, summary: Summary) -> None:
    """Write the hunt's page, and the report of each kept trial that it links to."""
    from loadgen.core.masking import Masker, parse
    from loadgen.report import page
    from loadgen.report.evidence import gather
    from loadgen.report.hunt import render
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import find_verification

    reports = set[str]()
    for failure in summary.failures:
        path = Path(failure.run) / "report.html"
        try:
            if not path.exists():
                folder, manifest = RunFolder.open(Path(failure.run))
                masker = Masker(parse(()))
                evidence = gather(folder, manifest, find_verification(folder.path), masker)
                with exports.replacing(path) as file:
                    file.write(page.render(evidence, masker, version=__version__))
            reports.add(failure.trial.name)
        except LoadgenError:  # the run is too incomplete for a report: the page does without it
            continue
    with exports.replacing(hunt.path / "report.html") as file:
        file.write(render(summary, hunt.path.name, hunt.command, reports, version=__version__))


def _files(grid: Grid) -> dict[str, str]:
    """Return the digest of each file that influences the trials of *grid*, by path."""
    traffic = (grid.record.traffic, *(ScenarioTraffic(scenario=one) for one in grid.scenarios))
    return files_of(grid.record, traffic, elsewhere=Runtime.DOCKER in grid.runtimes)


def _go_on(folder: Path) -> str:
    arguments = sys.argv[1:]
    if not any(one == "--folder" or one.startswith("--folder=") for one in arguments):
        arguments[1:1] = ["--folder", str(folder)]
    return f"Go on with: {shell(*arguments)}"


def shrink(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run that failed verify, or a folder of loadgen stress. Default: the latest run in runs/.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Output folder. [default: a new one in shrunk/]", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=1024, help="Number of trials at a time.")
    ] = JOBS,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop searching after this time (90s, 10m, 1h), and measure the smallest case so far.",
            show_default=False,
        ),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(min=1, max=1000, help="Number of trials of the result, to measure its failure rate."),
    ] = 20,
    any_failure: Annotated[
        bool, typer.Option("--any", help="Accept any divergence, not only the kinds that RUN shows.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Reduce a run that failed verify to the fewest requests and virtual users that still fail.

    It records and verifies smaller and smaller cases. The result is a scenario file that shows the failure, a
    recorded example, and a README with the commands.
    """
    from loadgen.cli import show_hunts
    from loadgen.cli.output import say
    from loadgen.cli.running import interruptible
    from loadgen.hunt.attach import EXAMPLE, attach, how_often
    from loadgen.hunt.failing import failing
    from loadgen.hunt.fleet import LocalFleet
    from loadgen.hunt.folder import first_failure, new_folder
    from loadgen.hunt.grid import seconds
    from loadgen.hunt.oracle import Oracle, TrialSettings
    from loadgen.hunt.shrink import Shrunk
    from loadgen.hunt.shrink import shrink as call
    from loadgen.hunt.trial import attribute
    from loadgen.store.run_folder import RunFolder

    given, manifest = RunFolder.open(run if run is None else first_failure(run))
    found = failing(given, manifest, any_failure=any_failure)
    again = VerifySpec()
    budget = None if time_budget is None else seconds(time_budget, "--time-budget")
    folder = new_folder(output, Path("shrunk"))
    setting = TrialSettings(
        fleet=(fleet := LocalFleet(jobs)),
        record=manifest.spec,
        verify=again,
        sign=found.sign,
        folder=folder,
        seconds=budget,
    )

    async def work(stop: Stop) -> tuple[Shrunk, bool]:
        oracle = Oracle(setting, stop, progress)
        async with fleet:
            result = await call(found.workload, found.head, oracle, progress, confirm, folder / EXAMPLE)
        if result.measured.failures:
            progress.phase("whose fault it is")
            await attribute(folder / EXAMPLE, again)
        return result, stop.requested

    try:
        with show_hunts.Shrinking(quiet=quiet or as_json) as progress:
            shrunk, interrupted = interruptible(work)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    content = attach(folder, found, shrunk, manifest, manifest.spec, again)
    say(show_hunts.shrunk_json(content) if as_json else show_hunts.shrunk(content, how_often(shrunk)))
    if interrupted:
        raise Interrupted("interrupted: what was found until then is written")
