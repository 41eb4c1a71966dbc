"""``loadgen``: the commands and their options.

Heavy imports are made inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from loadgen import __version__
from loadgen.cli import config, exports, hazards, hunts, load, where
from loadgen.errors import Interrupted, LoadgenError, MachineFault, UsageError

if TYPE_CHECKING:
    from loadgen.verify import Verified

BUG = 70
BROKEN_PIPE = 141

app = typer.Typer(
    name="loadgen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Does a recorded Flask server, replayed, give exactly the same answers, even under concurrency?\n\n"
    "loadgen record runs virtual users against a server under the record/replay engine; loadgen verify "
    "replays the recording, re-fires the same requests, and compares every answer.",
    epilog=f"{config.PRECEDENCE}\n\nExit codes: 0 done, identical; 1 diverged; 2 usage; 3 undetermined, or "
    "it could not be done; 70 a bug in loadgen; 130 interrupted.",
)


Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="RULE",
        help="Leave a field out: header:NAME, or json:PATH (json:$.timestamp, json:$..at). May be repeated; "
        "the verdict lists it.",
        show_default=False,
    ),
]


class Schedule(StrEnum):
    """How the server's threads run while it is recorded."""

    TURNS = "turns"
    PARALLEL = "parallel"


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        print(f"loadgen {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


@app.command(short_help="Record a session: virtual users against a server under the engine.")
def record(
    target: where.Target = None,
    concurrency: load.Concurrency = None,
    iterations: load.Iterations = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of the virtual users' choices.")] = 1,
    scenario: load.ScenarioName = None,
    from_: load.From = None,
    duration: load.Duration = None,
    ramp_up: load.RampUp = None,
    rate: load.Rate = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. [default: a new one in runs/]", show_default=False),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=where.finite, help="Seconds until a request is given up.")
    ] = 30.0,
    health_path: Annotated[str, typer.Option(help="Path served outside the recording.")] = "/health",
    cwd: where.Cwd = None,
    server_env: where.ServerEnv = None,
    stacks: Annotated[
        bool,
        typer.Option(
            "--stacks", help="Record each call's stack, for verify --explain: slower, twice the size."
        ),
    ] = False,
    engine_alone: Annotated[
        bool,
        typer.Option(
            "--engine-alone", help="Leave the engine's gaps open, to see what it does without loadgen's help."
        ),
    ] = False,
    schedule: Annotated[
        Schedule | None,
        typer.Option(
            help="How the server's threads run while recording: turns, one at a time, switching where they "
            "wait; or parallel, as in production: races in memory happen, and may replay otherwise. "
            "[default: turns]",
            show_default=False,
        ),
    ] = None,
    trace: where.Trace = where.Kind.SERVER,
    runtime: where.Runtime = where.RuntimeName.LOCAL,
    image: where.Image = None,
    test_image: where.TestImage = None,
    requirements: where.Requirements = None,
    memory: where.Memory = None,
    attach: where.Attach = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    events: where.Events = False,
) -> None:
    """Run virtual users against a server under the engine, and record all of it.

    The server is started for the run, on a free port, with an empty database at $DB_FILE.
    """
    from loadgen.cli import show
    from loadgen.engine.target import resolve
    from loadgen.record import Settings

    if engine_alone and (
        runtime is not where.RuntimeName.LOCAL or attach is not None or trace is not where.Kind.SERVER
    ):
        raise UsageError("--engine-alone is for a server that runs here, traced at its request boundary")
    ours = not engine_alone and trace is not where.Kind.PROCESS
    if schedule is Schedule.TURNS and not ours:
        raise UsageError(
            "--schedule turns is loadgen's, and the engine alone knows no turns",
            advice=f"Leave out --schedule, or {'--engine-alone' if engine_alone else '--trace process'}.",
        )
    schedule = schedule or (Schedule.TURNS if ours else Schedule.PARALLEL)
    shape = load.shape(duration, ramp_up, rate, iterations)
    with redirect_stdout(sys.stderr):  # what a scenario prints is no result
        plan = load.plan(scenario, from_, quiet=quiet or as_json or events)
    settings = Settings(
        target=resolve(target, cwd, elsewhere=runtime is where.RuntimeName.DOCKER),
        scenario=plan,
        concurrency=concurrency or plan.concurrency,
        iterations=iterations or plan.iterations,
        shape=shape,
        seed=seed,
        timeout=timeout,
        health_path=health_path,
        trace=trace,
        stacks=stacks,
        engine_alone=engine_alone,
        schedule=schedule.value,
        folder=run,
    )
    place = where.place(
        runtime,
        attach,
        trace,
        server_env=server_env or (),
        image=image,
        test_image=test_image,
        requirements=requirements,
        memory=memory,
    )
    with where.watcher(events=events, quiet=quiet or as_json) as progress:
        with redirect_stdout(sys.stderr):
            recorded = show.interruptible(lambda stop: place.record(settings, stop, progress))
        progress.recorded(recorded)
    if not events:
        say(show.manifest_json(recorded) if as_json else show.recorded(recorded))
    if recorded.interrupted:
        raise typer.Exit(Interrupted.exit_code)
    if recorded.outcome.failed:
        raise typer.Exit(3)


@app.command(short_help="Replay a recorded run, ask again, and compare every answer.")
def verify(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run. Default: the latest one in runs/.", show_default=False),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, callback=where.finite, help="Seconds without an answer until the replay counts as stuck."
        ),
    ] = 30.0,
    replays: Annotated[
        int, typer.Option(min=1, max=100, help="Replay so often, to tell what flickers from what stays.")
    ] = 1,
    ignore: Ignore = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Replay once more, and show what each call of the first differing request got from the "
            "recording, and where it left that.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Of changed code, too, take any call that differs for a divergence.",
        ),
    ] = False,
    watch: Annotated[int | None, typer.Option("--watch", min=1, hidden=True)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    junit: exports.Junit = None,
    summary: exports.Summary = None,
    replay: where.Replay = None,
    runtime: where.Runtime = where.RuntimeName.LOCAL,
    image: where.Image = None,
    memory: where.Memory = None,
    attach: where.Attach = None,
    events: where.Events = False,
) -> None:
    """Replay a recorded run, send the same requests again, and compare every answer."""
    from loadgen.cli import show
    from loadgen.conclude import conclude
    from loadgen.core.comparison import ignoring
    from loadgen.store.run_folder import RunFolder

    ignored = ignoring(ignore or ())
    folder, manifest = RunFolder.open(run)
    if explain and manifest.engine_alone:
        raise UsageError(
            "this run is of the engine alone: it takes loadgen's own replay to see what each call got",
            advice="Leave out --explain, or record again without --engine-alone.",
        )
    kind = where.kind(manifest, replay)
    place = where.place(runtime, attach, kind, image=image, memory=memory, strict=strict)
    with where.watcher(events=events, quiet=quiet or as_json) as progress:

        def once(watch: int | None) -> Verified:
            call = partial(place.verify, folder, manifest, timeout=timeout, ignored=ignored, watch=watch)
            return show.interruptible(lambda _: call(watcher=progress), at_once=True)

        replayed = [once(watch) for _ in range(replays)]
        verified = conclude(manifest, replayed)
        if explain and verified.verdict.causes and kind is where.Kind.SERVER:
            progress.stage("replaying once more, to explain")
            replayed.append(once(verified.verdict.causes[0].first.seq))
            verified = conclude(manifest, replayed)
    if not events:
        say(show.verdict_json(verified) if as_json else show.verdict(verified, manifest, explain=explain))
    if junit is not None or summary is not None:
        exports.write_verdict(folder, manifest, int(verified.folder.name), junit, summary)
    raise typer.Exit(verified.verdict.judgement.exit_code)


@app.command(short_help="Compare two runs or transcripts without replaying.")
def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="A run, a verification of one, or a transcript.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="The one to compare it with.")],
    ignore: Ignore = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Compare two runs or transcripts, answer by answer, without replaying anything.

    Answers are paired by virtual user, and that user's first, second, ... request.
    """
    from loadgen.cli import show
    from loadgen.core.comparison import ignoring
    from loadgen.core.diagnosis import group
    from loadgen.diff import diff as call
    from loadgen.diff import side

    verdict = call(side(one), side(other), ignoring(ignore or ()))
    say(show.diff_json(verdict) if as_json else show.diff(verdict, group(verdict.divergences)))
    raise typer.Exit(verdict.judgement.exit_code)


exports.register(app)
hazards.register(app)
hunts.register(app)


@app.command(short_help="Remove what killed runs left in Docker.")
def clean(
    images: Annotated[bool, typer.Option("--images", help="Remove the images built for runs, too.")] = False,
) -> None:
    """Remove containers, networks and volumes that killed runs left in Docker; only loadgen's own."""
    import anyio

    from loadgen.cli import show
    from loadgen.containers.clean import clean as call

    say(show.cleaned(anyio.run(partial(call, images=images))))


def say(result: str) -> None:
    """Print a command's result; whoever reads it may have had enough (``loadgen verify --json | head``)."""
    try:
        print(result, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None


def _text(word: str) -> str:
    """Refuse a word that is no text: names of runs and servers are written into files and shown."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{word!r} is not in UTF-8", advice="Rename it, or name it otherwise.") from None
    return word


def main() -> None:
    """Run the command line; every way out has its exit code."""
    try:
        words = [_text(word) for word in sys.argv[1:]]
        get_command(app)(words, default_map=config.of_command_line(words, app))
    except LoadgenError as error:
        prefix = "usage: " if isinstance(error, UsageError) else ""
        print(f"loadgen: {prefix}{error.message}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:  # a full disk, a limit, a folder that went away
        where = f": {error.filename}" if error.filename else ""
        print(f"loadgen: this machine refused: {error.strerror or error}{where}", file=sys.stderr)
        raise SystemExit(MachineFault.exit_code) from None
    except Exception:  # noqa: BLE001 - whatever is left is our bug, and says so
        import traceback

        traceback.print_exc()
        print(
            f"loadgen: this is a bug in loadgen {__version__}. Please report it with the lines above and the "
            "run folder's run.json.",
            file=sys.stderr,
        )
        raise SystemExit(BUG) from None


if __name__ == "__main__":
    main()
