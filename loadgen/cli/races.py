"""``loadgen races``: find the interleaving that breaks an application, explain it, and replay it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.fleets import JOBS, Address, TlsFile, cluster_at, connected, files_of
from loadgen.cli.options import names, taking
from loadgen.core.option import shell
from loadgen.core.spec import Label, RunSpec, SecretSpec, absolute
from loadgen.errors import Interrupted, LoadgenError, Undetermined

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.core.stop import Stop
    from loadgen.hunt.races.folder import Race, RecordedRace
    from loadgen.hunt.races.hunting import Hunted, Setting
    from loadgen.hunt.races.trial import Tried

OWN = (
    *names(Label, SecretSpec),
    "schedule",
    "strategy",
    "schedule_seed",
    "script",
    "mode",
    "stacks",
    "engine_alone",
    "iterations",
    "duration",
    "rate",
    "ramp_up",
    "client",
    "listen",
    "user_by",
    "proxy_for",
    "fail_if",
)
"""Fields of the specification that the search sets, or that do not work with it."""
USERS = 8
AGAIN = 5
"""Number of recordings with ``--again``."""
PARENT = Path("races")


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    made = taking(record=RunSpec, without=OWN)(races)
    app.command(short_help="Find the interleaving of requests that breaks an application.")(made)


def races(
    record: RunSpec,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="Start no trial after this time (90s, 10m, 1h).")
    ] = "5m",
    iterations: Annotated[
        int, typer.Option("--iterations", "-n", min=1, help="Iterations of each virtual user in a trial.")
    ] = 2,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=64, help="Number of trials at a time.")
    ] = JOBS,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Output folder; an interrupted search in it goes on. [default: a new one in races/]",
            show_default=False,
        ),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Record the schedule of a race that was found again, with the code as it is now.",
            show_default=False,
        ),
    ] = None,
    cluster: Address = None,
    tls_ca: TlsFile = None,
    tls_cert: TlsFile = None,
    tls_key: TlsFile = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Record many short sessions, each with a different thread schedule, until the application breaks.

    It breaks if an assertion of the scenario fails, an answer is 5xx, a request gets no answer, threads
    deadlock, or --unique, --monotonic or --conserved does not hold. The failure is then replayed, reduced to
    the fewest thread switches, and explained by its lines. Finding nothing does not prove that there are no
    races. Exit code 1: a race was found.
    """
    from msgspec.structs import replace

    from loadgen.check import invariants
    from loadgen.cli.output import say
    from loadgen.cli.running import interruptible
    from loadgen.hunt.grid import seconds
    from loadgen.hunt.races.folder import PROGRESS, open_hunt
    from loadgen.hunt.races.hunting import FAILED, Setting

    if again is not None:
        _again(again, quiet=quiet or as_json)
        return
    load = replace(record.load, concurrency=record.load.concurrency or USERS, iterations=iterations)
    spec = replace(record, load=load)
    if cluster is not None:
        spec = absolute(spec, lambda path: str(Path(path).resolve()))
    limit, held = seconds(budget, "--budget"), invariants(spec.invariants)
    elsewhere = cluster_at(cluster, files_of(spec, (spec.traffic,)), (tls_ca, tls_cert, tls_key))
    path, before = open_hunt(folder, PARENT, spec, held)
    stopped = False

    async def work(stop: Stop) -> tuple[Hunted, Race | None]:
        nonlocal stopped
        async with connected(elsewhere, jobs) as fleet:
            setting = Setting(spec, held, path, fleet, limit, record.load.seed)
            result = await _hunt(setting, before, stop, quiet=quiet or as_json)
        stopped = stop.requested
        return result

    try:
        hunted, race = interruptible(work)
    except LoadgenError:
        if not (path / PROGRESS).exists():  # refused before the first trial
            shutil.rmtree(path)
        raise
    say(_json(hunted, race, path) if as_json else _text(hunted, race, path))
    if stopped:
        nothing = hunted.found is None
        when = ": nothing was found" if nothing else " before the failure was reduced and replayed"
        raise Interrupted(
            f"interrupted{when}",
            advice=f"To go on, add --folder {shlex.quote(str(path))} to the same command.",
        )
    if hunted.found is None and hunted.failed:
        raise Undetermined(
            f"{hunted.failed} of {hunted.trials} trials could not be recorded: {hunted.why}",
            advice=f"The last of them is in {path / FAILED}.",
        )
    if hunted.found is None and hunted.unchecked:
        raise Undetermined("nothing broke, but what was never checked may not hold")
    raise typer.Exit(0 if hunted.found is None else 1)


async def _hunt(setting: Setting, before: Hunted, stop: Stop, *, quiet: bool) -> tuple[Hunted, Race | None]:
    from loadgen.hunt.races.folder import PROGRESS, save, write
    from loadgen.hunt.races.hunting import hunt
    from loadgen.hunt.races.narrowing import Narrowing
    from loadgen.store.run_folder import RunFolder

    tell = _teller(quiet=quiet)

    def see(hunted: Hunted, strategy: str, tried: Tried) -> None:
        what = tried.failure.partition("\n")[0] or (
            tried.broken[0].message if tried.broken else f"{tried.requests} requests hold"
        )
        tell(f"trial {hunted.trials} ({strategy}): {what}")
        save(setting.folder, setting.spec, hunted)

    hunted = await hunt(setting, stop, see, before)
    if hunted.found is None or hunted.spec is None:
        return hunted, None
    if not hunted.found.is_complete:
        (setting.folder / PROGRESS).unlink(missing_ok=True)  # there is nothing to go on with
        return hunted, None
    narrowing = Narrowing(setting, hunted.spec, hunted.found, stop, lambda line: tell(f"  {line}"))
    tell("reducing the failure: thread switches, requests, lines")
    narrowed = await narrowing.narrow()
    if stop.requested:
        return hunted, None
    _, manifest = RunFolder.open(narrowed.tried.run)
    return hunted, write(setting.folder, narrowed, manifest.result.started.code)


def _again(folder: Path, *, quiet: bool) -> None:
    """Record the choices of a race with the current code, and print whether it still breaks."""
    from loadgen.cli.output import say
    from loadgen.cli.running import interruptible
    from loadgen.hunt.races.folder import read

    race = read(folder)

    async def work(stop: Stop) -> tuple[int, list[str]]:
        del stop
        return await _broken_again(folder, race, quiet=quiet)

    broken, others = interruptible(work)
    recordings = f"of {AGAIN} recordings of the same choices"
    if broken:
        say(f"it still breaks: in {broken} {recordings}")
    if others:
        say(f"it breaks in another way, in {len(others)} {recordings}: {others[0]}")
    if broken or others:
        raise typer.Exit(1)
    if not race.repeats:
        say(
            "the choices alone did not make it fail with the code that had the race, either: search again, "
            "loadgen races"
        )
    say(f"it breaks in none {recordings}")


async def _broken_again(folder: Path, race: RecordedRace, *, quiet: bool) -> tuple[int, list[str]]:
    """Return in how many recordings it breaks, and how it breaks in another way."""
    import tempfile

    from loadgen.check import invariants
    from loadgen.engine.scratch import prefix
    from loadgen.hunt.fleet import LocalFleet
    from loadgen.hunt.races.hunting import LIMIT, exploring
    from loadgen.hunt.races.trial import attempt

    tell, broken, others = _teller(quiet=quiet), 0, list[str]()
    held = invariants(race.spec.invariants)
    with tempfile.TemporaryDirectory(prefix=prefix()) as work:
        async with LocalFleet(1) as here:
            for number in range(AGAIN):
                spec = exploring(race.spec, script=race.script)
                tried = await attempt(here, spec, Path(work) / str(number), held, LIMIT, race.directory)
                if tried.failure:
                    raise Undetermined(f"{folder}: its choices could not be recorded again: {tried.failure}")
                broken += bool(tried.kinds & race.kinds)
                ended = "breaks" if tried.broken else "holds"
                if tried.broken and not tried.kinds & race.kinds:
                    others.append(tried.broken[0].message)
                    ended = f"breaks in another way: {others[-1]}"
                tell(f"recording {number + 1}: {ended}")
    return broken, others


def _teller(*, quiet: bool) -> Callable[[str], None]:
    from loadgen.cli.console import on_stderr

    console = on_stderr(quiet=quiet)

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True)

    return tell


def _text(hunted: Hunted, race: Race | None, folder: Path) -> str:
    trials = f"{hunted.trials} trial{'' if hunted.trials == 1 else 's'}"
    counted = f"{trials}, {hunted.requests} requests, {hunted.seconds:.0f} s"
    if hunted.found is not None and race is None:
        run = hunted.found.run
        rest = (
            (f"run         {run}", f"replay      {shell('verify', run)}")
            if hunted.found.is_complete
            else (
                "The recording ends with the server, so it cannot be replayed or reduced.",
                f"log         {run / 'server.log'}",
            )
        )
        return "\n".join((f"BROKEN: {hunted.found.broken[0].message}", f"found in {counted}", "", *rest))
    if race is None:
        unchecked = (f"never checked: {name}: {why}" for name, why in hunted.unchecked.items())
        return "\n".join((f"nothing broke in {counted}. That is no proof: see docs/races.md.", *unchecked))
    same, of = race.replays
    lines = [f"BROKEN: {race.message}", f"found in {counted}", ""]
    if hunted.without_race:
        lines.append("It breaks where no thread is switched, too: this may be no race.")
    fewer = "" if race.is_minimal else "; perhaps fewer switches are enough: the reduction ended early"
    lines += [
        *race.story,
        "",
        f"replays     {same} of {of} identical",
        f"requests    {race.requests}",
        f"preemptions {race.preemptions}{fewer}",
        f"run         {race.run}",
        f"choices     {race.script}",
        f"replay      {race.replay}",
        f"look        {shell('report', Path(race.run))}",
    ]
    if not race.repeats:
        return "\n".join(
            (
                *lines,
                "",
                "Recorded again with the same choices, it did not fail: something else has a part in it.",
            )
        )
    lines.append(f"record      {race.record}")
    lines.append(f"after a fix {shell('races', '--again', folder)}")
    return "\n".join(lines)


def _json(hunted: Hunted, race: Race | None, folder: Path) -> str:
    return json.dumps(
        {
            "trials": hunted.trials,
            "requests": hunted.requests,
            "seconds": round(hunted.seconds, 1),
            "failed_trials": hunted.failed,
            "never_checked": hunted.unchecked,
            "broken": hunted.found and hunted.found.broken[0].message,
            "race": race and race.to_json(),
            "folder": str(folder),
        },
        indent=1,
    )
