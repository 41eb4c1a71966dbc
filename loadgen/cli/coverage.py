"""What recordings reach: ``verify --coverage``, and ``loadgen thin``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.options import taking
from loadgen.cli.output import say
from loadgen.core.spec import VerifySpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.suite import SuiteRow

NOT_THINNED = ("coverage", "replays", "explain", "strict", "mode", "runtime", "image", "memory")
"""Fields of a verification that do not apply, because thinning looks at runs that are identical."""
JOBS = 1


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    app.command(short_help="Propose which runs and requests add nothing to a suite.")(
        taking(spec=VerifySpec, without=NOT_THINNED)(thin)
    )


def check(spec: VerifySpec) -> None:
    """Refuse a file for coverage data that cannot be written, before anything is started."""
    from loadgen.report import coverage

    if spec.coverage is not None:
        coverage.check(Path(spec.coverage))


def tell(spec: VerifySpec, rows: Sequence[SuiteRow], *, quiet: bool) -> None:
    """Write what verified runs reached, if *spec* asks for it, and print how much that is."""
    from loadgen.cli import show_coverage
    from loadgen.report import coverage
    from loadgen.store.reach import read_reach

    if spec.coverage is None:
        return
    reached, sources = {}, set[str]()
    for row in rows:
        reach = read_reach(row.verified.folder) if row.verified else None
        if reach is not None and row.run.manifest is not None:
            reached[row.run.label] = reach
            of_the_server = row.run.manifest.sources.keys() - row.run.manifest.client_sources.keys()
            sources |= {one for one in of_the_server if one.endswith(".py")}
    files = coverage.write(Path(spec.coverage), reached, sources)
    if not quiet:
        say(f"\n{show_coverage.coverage(files, Path(spec.coverage))}")


def thin(
    spec: VerifySpec,
    run: Annotated[list[Path], typer.Argument(help="Folders of runs, or a folder that contains runs.")],
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Number of runs to replay at a time.")
    ] = JOBS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proposal as JSON.")] = False,
) -> None:
    """Propose which runs, and which of their requests, add nothing to the others.

    The runs are replayed. A request is judged by the lines of the application's code that it reaches, its
    route with the status of its answer, and its kinds of calls. Nothing is changed.
    """
    import json
    import os

    from msgspec.structs import replace

    from loadgen.cli import show_coverage
    from loadgen.cli.progress import Progress
    from loadgen.cli.running import interruptible
    from loadgen.store.runs import find_runs
    from loadgen.suite import verify_all
    from loadgen.thin import proposal

    found = find_runs(run)
    collecting = replace(spec, coverage=os.devnull)  # only what the replays reach, no data file
    with Progress(quiet=as_json) as emit:
        rows = interruptible(lambda _: verify_all(found, collecting, jobs, emit), at_once=True)
    result = proposal(rows)
    say(json.dumps(asdict(result), indent=2) if as_json else show_coverage.thinned(result))
