"""Commands for many runs: verify a suite, list the runs of a folder, accept new answers."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen import __version__
from loadgen.cli import coverage, exports
from loadgen.cli.exports import replacing
from loadgen.cli.fleets import JOBS
from loadgen.cli.options import taking
from loadgen.cli.output import say
from loadgen.core.option import shell
from loadgen.core.spec import VerifySpec
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.spec import RunSpec
    from loadgen.report.suite import RowTold
    from loadgen.store.runs import FoundRun
    from loadgen.suite import SuiteRow

FAILED = 3
"""Exit code where a folder could not be recorded."""
DECLINED = 1
"""Exit code where a person did not accept what differs."""
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help=f"Number of replays at a time, of several runs or of one with --replays. [default: {JOBS}]",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write an HTML index of the runs named, and report.html in each of them.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command(short_help="List the runs of a folder.")(runs)
    app.command(short_help="Record runs again with the current code, and replace them.")(
        taking(spec=VerifySpec, without=NOT_ACCEPTED)(accept)
    )


def is_suite(given: Sequence[Path]) -> bool:
    """Whether *given* names anything other than one run."""
    from loadgen.store.runs import is_run

    return len(given) > 1 or (len(given) == 1 and given[0].is_dir() and not is_run(given[0]))


def latest(given: Sequence[Path]) -> list[Path]:
    """Return *given*, with the latest run in place of each folder that has server and client."""
    from loadgen.convention import latest

    return [latest(path) for path in given]


def recorded(spec: RunSpec, *, quiet: bool, as_json: bool) -> None:
    """Record each of the folders that are the target of *spec*, print a table, and exit."""
    from loadgen.cli import show_suite
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.suite import record_all

    with redirect_stdout(sys.stderr), Progress(quiet=quiet or as_json) as emit:
        rows = interruptible(lambda stop: record_all(spec, stop, emit))
    say(show_suite.recorded_json(rows) if as_json else show_suite.recorded(rows))
    raise typer.Exit(FAILED if any(row.problem for row in rows) else 0)


def verified(
    spec: VerifySpec,
    given: Sequence[Path],
    *,
    jobs: int,
    quiet: bool,
    as_json: bool,
    junit: Path | None,
    summary: Path | None,
    html: Path | None,
) -> None:
    """Verify the runs named by *given*, print the results, and exit with the code of the worst."""
    from loadgen.cli import show_suite
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.core.comparison import ignoring
    from loadgen.store.runs import find_runs
    from loadgen.suite import judged, verify_all

    ignoring(spec.ignore)  # an invalid rule is reported before anything is started
    coverage.check(spec)
    exports.check(junit, html, appended=summary)
    found = find_runs(given)
    with Progress(quiet=quiet or as_json) as emit:
        rows = interruptible(lambda _: verify_all(found, spec, jobs, emit), at_once=True)
    told = words(rows)
    say(show_suite.suite_json(rows) if as_json else show_suite.suite(told))
    _write(rows, told, given, junit=junit, summary=summary, html=html)
    coverage.tell(spec, rows, quiet=as_json)
    raise typer.Exit(judged(rows).exit_code)


def words(rows: Sequence[SuiteRow]) -> list[RowTold]:
    """Return *rows* in words, with secrets masked."""
    from loadgen.core.masking import Masker, parse
    from loadgen.core.verdict import Judgement
    from loadgen.report.evidence import learn
    from loadgen.report.suite import told
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import find_verification

    found = []
    for row in rows:
        masker = Masker(parse(()))
        if row.verified is not None and row.judgement is not Judgement.IDENTICAL:
            run = RunFolder(row.run.path)
            verification = find_verification(run.path, int(row.verified.folder.name))
            assert verification is not None
            learn(run, verification, masker)
        found.append(told(row, masker))
    return found


def _write(
    rows: Sequence[SuiteRow],
    told: Sequence[RowTold],
    given: Sequence[Path],
    *,
    junit: Path | None,
    summary: Path | None,
    html: Path | None,
) -> None:
    from loadgen.report.suite import to_html, to_junit, to_markdown

    name = " ".join(map(str, given))
    again = shell("verify", *given)
    if junit is not None:
        with replacing(junit) as file:
            file.write(to_junit(told, name))
    if summary is not None:
        exports.append(summary, to_markdown(told, again))
    if html is not None:
        there = html.resolve().parent
        reports = {
            row.run.label: Path(os.path.relpath(write_report(row), there)).as_posix()
            for row in rows
            if row.verified is not None
        }
        with replacing(html) as file:
            file.write(to_html(told, reports, name, again, version=__version__))


def write_report(row: SuiteRow) -> Path:
    """Write the report of the verification of *row* into its run; return its path."""
    from loadgen.core.masking import Masker, parse
    from loadgen.report.evidence import gather
    from loadgen.report.page import render
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import find_verification

    assert row.verified is not None
    assert row.run.manifest is not None
    masker = Masker(parse(()))
    run = RunFolder(row.run.path)
    found = find_verification(run.path, int(row.verified.folder.name))
    path = run.path / "report.html"
    with replacing(path) as file:
        file.write(render(gather(run, row.run.manifest, found, masker), masker, version=__version__))
    return path.resolve()


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the runs of a folder: target, traffic, date, size, tags, and the latest verdict."""
    from loadgen.cli import show_suite
    from loadgen.store.runs import find_runs, size
    from loadgen.store.verification import find_verification

    found = [
        (run, size(run.path), find_verification(run.path) if run.manifest is not None else None)
        for run in find_runs([folder])
    ]
    say(show_suite.runs_json(found) if as_json else show_suite.runs(found))


NOT_ACCEPTED = ("coverage", "replays", "explain", "strict", "mode", "runtime", "image", "memory")
"""Fields of a verification that are for a person who looks at one run, or for containers."""


def accept(
    spec: VerifySpec,
    run: Annotated[list[Path], typer.Argument(help="Folders of runs, or a folder that contains runs.")],
    failed: Annotated[
        bool,
        typer.Option(
            "--failed", help="Accept only runs whose latest verdict is not identical, and expired ones."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept without asking.")] = False,
) -> None:
    """Record the requests of runs again with the current code, show the differences, and replace the runs.

    The server runs with an empty database and its live dependencies. The old recording is kept until the new
    one is complete, verified and accepted.
    """
    from loadgen.errors import Interrupted, LoadgenError
    from loadgen.store.runs import find_runs

    found = find_runs(run)
    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody can be asked: standard input is not a terminal", advice="Add: --yes")
    codes = {0}
    for one in found:
        if failed and _is_identical(one):
            continue
        try:
            codes.add(_accept(one, spec, yes=yes))
        except Interrupted:
            raise
        except LoadgenError as error:
            codes.add(error.exit_code)
            say(f"kept      {one.path}: {error.message}\n  {error.advice}".rstrip())
    raise typer.Exit(max(codes))


def _accept(one: FoundRun, spec: VerifySpec, *, yes: bool) -> int:
    """Record one run anew, show what differs, and replace it if that is accepted; return the exit code."""
    from loadgen.accept import renew
    from loadgen.cli import show
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.core.diagnosis import group

    if one.manifest is None:
        assert one.problem is not None
        raise one.problem
    path, manifest = one.path, one.manifest
    with redirect_stdout(sys.stderr), Progress(quiet=False) as emit:
        renewed = interruptible(lambda stop: renew(path, manifest, spec, stop, emit))
    try:
        say(f"{one.label}: the recording, replayed with the code of today")
        say(show.verdict(renewed.before, manifest))
        say(f"\n{one.label}: its answers (A), and those recorded now (B)")
        say(show.diff(renewed.answers, group(renewed.answers.divergences)))
        renewed.check()
        if not yes and not typer.confirm(f"\nReplace {path}?", default=False, err=True):
            say(f"kept      {path}")
            return DECLINED
        renewed.take()
        say(f"accepted  {path}: the new recording verifies as identical")
        return 0
    finally:
        renewed.discard()


def _is_identical(one: FoundRun) -> bool:
    """Whether the latest verdict on a run is identical, and its recording is not too old."""
    from loadgen.core.verdict import Judgement
    from loadgen.store.verification import find_verification

    expires = one.manifest and one.manifest.expires
    if expires and expires < datetime.now(UTC):
        return False
    latest = find_verification(one.path)
    return (
        latest is not None and latest.verdict is not None and latest.verdict.judgement is Judgement.IDENTICAL
    )
