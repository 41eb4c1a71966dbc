"""``loadgen``: the commands and their options.

Heavy imports are made inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen import __version__
from loadgen.cli import check, config, coverage, debug, exports, hazards, hunts, races, start, suites
from loadgen.cli.fleets import JOBS
from loadgen.cli.options import group_of, parse, taking
from loadgen.cli.output import say
from loadgen.cli.shell import interrupts, open_streams
from loadgen.core.events import Note
from loadgen.core.spec import BUNDLED, RunSpec, VerifySpec
from loadgen.errors import Interrupted, LoadgenError, MachineFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadgen.modes.base import Host

BUG = 70
THRESHOLD = 4
"""A condition of ``--fail-if`` holds."""

app = typer.Typer(
    name="loadgen",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Record a WSGI server under concurrent load, replay it without its database, and compare every "
    "answer.\n\n"
    "loadgen record starts a WSGI server under a record/replay engine, sends it "
    "requests, and stores every request and answer in a run folder. loadgen verify replays that run: it "
    "sends the same requests to the code as it is now, while databases, clocks and other services answer "
    "from the recording.\n\n"
    "Try it on the bundled server: loadgen record && loadgen verify. Then on your own: loadgen init",
    epilog=f"{config.PRECEDENCE}\n\nExit codes: 0 done, or identical; 1 diverged, or a race was found; 2 "
    "wrong usage; 3 undetermined, or failed; 4 a condition of record --fail-if holds; 70 a bug in loadgen; "
    "130 interrupted.",
)


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


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


@app.command(short_help="Start a server, send it requests, and record both.")
@taking(spec=RunSpec)
def record(
    spec: RunSpec,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder to record into. [default: a new one in runs/]", show_default=False),
    ] = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Start a server under the record/replay engine, send it requests, and record everything.

    The server runs on a free port, and finds the path of an empty database in $DB_FILE. The requests come
    from virtual users (--scenario), a file (--from), or any program (--client, --listen).

    A folder with test.py (the server) and client.py (the load), or app.py (the server) and test.py (a client
    that is traced), needs no options; of several folders, each is recorded. Runs are in runs/ of the folder.
    """
    if len(spec.target) > 1 and all(Path(spec.cwd or "", one).is_dir() for one in spec.target):
        if run is not None:
            raise UsageError(
                "--run is for one run", advice="The runs of folders are in runs/ of each folder."
            )
        suites.recorded(spec, quiet=quiet, as_json=as_json)
    recorded(spec, run, quiet=quiet, as_json=as_json)


def _bundled_instead(spec: RunSpec, here: Path) -> str | None:
    """Return what to say if no server was given beside the code of one; None otherwise."""
    scenario = spec.traffic_name.partition(":")[0]
    own = {one.name for one in here.glob("*.py")} - {scenario}
    if spec.target or (here / BUNDLED).is_dir() or not own:
        return None
    return "no server was given: this is the bundled one; for the one in this folder: loadgen init"


def recorded(
    spec: RunSpec,
    folder: Path | None = None,
    *,
    host: Host | None = None,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Record a session, print the result, and exit."""
    from loadgen import dispatch
    from loadgen.check import check as checking
    from loadgen.check import invariants
    from loadgen.cli import show
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible

    demo = None if host else _bundled_instead(spec, Path.cwd())
    held = invariants(spec.invariants)  # a model that cannot be read is found before anything is started
    with redirect_stdout(sys.stderr), Progress(quiet=quiet or as_json) as emit:  # a scenario may print
        if demo:
            emit(Note(line=demo))
        result = interruptible(lambda stop: dispatch.record(spec, folder, stop, emit, host=host))
    checked = checking(result.run, result.manifest, held) if held else []
    say(show.manifest_json(result) if as_json else show.recorded(result, checked))
    if result.end.interrupted:
        raise typer.Exit(Interrupted.exit_code)
    if result.end.failed:
        raise typer.Exit(3)
    if any(one.holds for one in result.totals.conditions):
        raise typer.Exit(THRESHOLD)


@app.command(short_help="Replay a run, send its requests again, compare every answer.")
@taking(spec=VerifySpec)
def verify(
    spec: VerifySpec,
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of runs, or a folder that contains runs. Default: the latest one in runs/.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    jobs: suites.Jobs = None,
    junit: exports.Junit = None,
    summary: exports.Summary = None,
    html: suites.Html = None,
) -> None:
    """Replay a recorded run, send the same requests again, and compare every answer.

    A replay needs no database and no other service. It runs where the run was recorded: on this machine, with
    the code as it is now, or in containers. Several runs are verified in parallel. Exit code 0: identical; 1:
    diverged; 3: undetermined; of several runs, that of the worst.
    """
    run = suites.latest(run or ())
    jobs = jobs or JOBS
    if run and (suites.is_suite(run) or html is not None):
        suites.verified(
            spec, run, jobs=jobs, quiet=quiet, as_json=as_json, junit=junit, summary=summary, html=html
        )
    if html is not None:
        raise UsageError("--html needs the runs", advice="Name one or more, or a folder of runs.")
    given = run[0] if run else None
    verified(spec, given, jobs=jobs, quiet=quiet, as_json=as_json, junit=junit, summary=summary)


def verified(
    spec: VerifySpec,
    given: Path | None = None,
    *,
    host: Host | None = None,
    jobs: int = 1,
    quiet: bool = False,
    as_json: bool = False,
    junit: Path | None = None,
    summary: Path | None = None,
) -> None:
    """Verify a run, *jobs* replays at a time, print the verdict, and exit with its code."""
    from loadgen import dispatch
    from loadgen.cli import show
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.core.comparison import ignoring
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.runs import FoundRun, incomplete_since
    from loadgen.suite import SuiteRow

    ignoring(spec.ignore)  # an invalid rule is reported before anything is started
    coverage.check(spec)
    exports.check(junit, appended=summary)
    run, manifest = RunFolder.open(given)
    failed = incomplete_since(run.path) if given is None and host is None else None
    with Progress(quiet=quiet or as_json) as emit:
        if failed is not None:
            emit(Note(line=f"{failed.name} was recorded later, and is not complete: this is {manifest.id}"))
        result = interruptible(
            lambda _: dispatch.verify(run, manifest, spec, emit, host=host, at_once=jobs), at_once=True
        )
    say(show.verdict_json(result) if as_json else show.verdict(result, manifest, explain=spec.explain))
    if junit is not None or summary is not None:
        exports.write_verdict(run, manifest, int(result.folder.name), junit, summary)
    found = SuiteRow(FoundRun(manifest.id, run.path, manifest), result)
    coverage.tell(spec, [found], quiet=as_json)
    raise typer.Exit(result.verdict.judgement.exit_code)


@app.command(short_help="Compare two runs or transcripts without replaying.")
def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="A run, a verification of one, or a transcript.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="The one to compare it with.")],
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="RULE", help="As for loadgen verify. May be repeated.", show_default=False
        ),
    ] = None,
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


start.register(app)
debug.register(app)
exports.register(app)
hazards.register(app)
hunts.register(app)
races.register(app)
suites.register(app)
check.register(app)
coverage.register(app)


@app.command(short_help="Remove what killed runs left behind.")
def clean(
    images: Annotated[bool, typer.Option("--images", help="Also remove the images built for runs.")] = False,
) -> None:
    """Remove the temporary folders, containers, networks and volumes that killed runs left behind."""
    import anyio

    from loadgen.cli import show
    from loadgen.containers.clean import clean as call

    say(show.cleaned(anyio.run(partial(call, images=images))))


def _text(word: str) -> str:
    """Refuse a word that is not valid text: names of runs and servers are written to files and shown."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{word!r} is not valid UTF-8", advice="Rename the file, or use another name."
        ) from None
    return word


def record_spec(words: Sequence[str]) -> RunSpec:
    """Return the specification given by the *words* of a ``loadgen record``."""
    return parse(app, "record", words, RunSpec)


def verify_spec(words: Sequence[str]) -> VerifySpec:
    """Return the specification given by the *words* of a ``loadgen verify``."""
    return parse(app, "verify", words, VerifySpec)


def main() -> None:
    """Run the command line, with an exit code for each outcome."""

    def work() -> None:
        words = [_text(word) for word in sys.argv[1:]]
        group_of(app)(words, default_map=config.of_command_line(words, app))

    reporting(work)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MAKE_SPACE = "Free space on its disk (and check limits on file sizes), or record to another one: --run PATH."


def reporting(work: Callable[[], None]) -> None:
    """Do *work*; report errors on stderr, and exit with the error's exit code."""
    open_streams()
    try:
        with interrupts():
            work()
    except LoadgenError as error:
        prefix = "usage: " if isinstance(error, UsageError) else ""
        print(f"loadgen: {prefix}{error.message}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:  # a full disk, a limit, or a folder that was deleted
        where = f": {error.filename}" if error.filename else ""
        print(f"loadgen: this machine refused: {error.strerror or error}{where}", file=sys.stderr)
        if where and error.errno in _FULL:
            print(f"  {_MAKE_SPACE}", file=sys.stderr)
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
