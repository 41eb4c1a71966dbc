"""``loadgen hazards``: which sources of nondeterminism replay, with and without loadgen's workarounds."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.errors import Interrupted, UsageError
from loadgen.hazards.matrix import Setup, Whose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadgen.hazards.matrix import HazardCell, Matrix
    from loadgen.hazards.measuring import HazardRun

_COLOUR: dict[Whose | None, str] = {
    Whose.CLOSED: "green",
    Whose.TURNS: "green",
    Whose.ENGINE: "red",
    Whose.INHERENT: "yellow",
}


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    app.command(short_help="Measure which sources of nondeterminism replay identically.")(hazards)


def hazards(
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Only these hazards, or kinds of hazards.", show_default=False),
    ] = None,
    setups: Annotated[
        str,
        typer.Option(
            metavar="SETUP,...",
            help="alone: only the engine; parallel: with workarounds; turns: one thread at a time too.",
        ),
    ] = ",".join(Setup),
    concurrency: Annotated[
        str, typer.Option("--concurrency", "-c", metavar="N,...", help="Numbers of virtual users.")
    ] = "1,8",
    requests: Annotated[int, typer.Option(min=1, help="Requests to each hazard in each run.")] = 24,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each hazard, setup and concurrency.")] = 1,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Number of runs at a time. [default: CPUs]", show_default=False
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without an answer after which a replay counts as hung.")
    ] = 10.0,
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder for runs that fail. [default: a new one in runs/]", show_default=False),
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare with a matrix saved by --json, and exit with 1 if they contradict each other.",
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append the matrix to this file as Markdown.", show_default=False),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the hazards and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the matrix only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix as JSON.")] = False,
) -> None:
    """Measure which sources of nondeterminism (clocks, threads, files, ...) replay identically.

    Each hazard is an endpoint of the bundled server, recorded and verified in a separate server, at each
    concurrency, with the engine alone and with loadgen's workarounds. The exit code is 0 if everything could
    be measured, and 1 if the result contradicts --expect.
    """
    from loadgen.cli.exports import append, check
    from loadgen.cli.output import say
    from loadgen.cli.running import interruptible
    from loadgen.hazards.matrix import unexpected
    from loadgen.hazards.measuring import HazardSettings, measure, select
    from loadgen.hazards.tables import markdown
    from loadgen.hunt.grid import concurrencies

    names = select(_split(only or ""))
    if listing:
        say(_listing(names))
        return
    expected = None if expect is None else _read(expect)
    settings = HazardSettings(
        names=names,
        setups=tuple(_setup(name) for name in _split(setups)),
        concurrency=concurrencies(concurrency),
        requests=requests,
        runs=runs,
        jobs=jobs or os.cpu_count() or 1,
        timeout=timeout,
    )
    check(appended=summary)
    kept = _new(folder)
    with _progress(quiet=quiet or as_json) as seen:
        measured = interruptible(lambda stop: measure(settings, kept, stop, seen))
    matrix = measured.matrix
    if measured.interrupted and not any(matrix.cells()):
        raise Interrupted("interrupted: nothing was measured")
    say(json.dumps(matrix.to_json(), indent=2) if as_json else table(matrix, kept))
    if summary is not None:
        append(summary, markdown(matrix))
    contradictions = [] if expected is None else unexpected(matrix, expected)
    for line in contradictions:
        print(f"not as expected: {line}", file=sys.stderr)
    if measured.interrupted:
        raise Interrupted("interrupted: what was measured until then is shown")
    if contradictions:
        raise typer.Exit(1)


def _new(wanted: Path | None) -> Path:
    """Create the folder for runs that are kept."""
    from loadgen.store.run_folder import DEFAULT_PARENT

    path = wanted or DEFAULT_PARENT / f"hazards-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        used = any(path.iterdir())
    except OSError as error:
        raise UsageError(
            f"cannot create the folder {path}: {error.strerror}", advice="Give another one: --folder DIR"
        ) from error
    if used:
        raise UsageError(f"{path} is not empty", advice="Give another one: --folder DIR")
    return path


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _setup(name: str) -> Setup:
    if name not in set(Setup):
        raise UsageError(f"unknown setup {name!r}", advice=f"The setups are: {', '.join(Setup)}.")
    return Setup(name)


def _read(path: Path) -> Matrix:
    from loadgen.hazards.matrix import Matrix

    try:
        return Matrix.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a matrix of hazards: {error}", advice="Save one: loadgen hazards --json > FILE"
        ) from error


def _listing(names: tuple[str, ...]) -> str:
    from server_app.hazards import HAZARDS

    return "\n".join(
        f"{name:<24}{HAZARDS[name].kind:<9}{HAZARDS[name].shows.replace('``', '`')}" for name in names
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[HazardRun, HazardCell, int, int], None]]:
    """Show progress, and the last failure, on stderr if it is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from loadgen.cli.console import on_stderr

    console = on_stderr()
    what_last = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), what_last)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def seen(one: HazardRun, cell: HazardCell, done: int, of: int) -> None:
            what = "failed" if cell.failed else "identical"
            bar.update(
                task,
                completed=done,
                total=of,
                description=f"{one.name}, {one.setup}, {one.concurrency} at a time: {what}",
            )

        yield seen


def table(matrix: Matrix, kept: Path) -> str:
    """Render the matrix for a terminal."""
    from rich.table import Table
    from rich.text import Text

    from loadgen.cli.console import TextConsole
    from loadgen.cli.show import shown
    from loadgen.hazards.tables import LEGEND, WHOSE, cell, columns

    at = columns(matrix)
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for head in ("hazard", *(f"{setup} {concurrency}" for setup, concurrency in at), ""):
        grid.add_column(head, no_wrap=True)
    for row in matrix.rows:
        whose = Text(WHOSE[row.whose], style=_COLOUR.get(row.whose, ""))
        grid.add_row(row.name, *(cell(row, *each) for each in at), whose)
    console = TextConsole(width=160)
    console.print(grid)
    lines = console.text().splitlines()
    lines += [f"{name:<24}not measured: {why}" for name, why in matrix.skipped.items()]
    lines += ["", LEGEND]
    if kept.is_dir() and any(one.is_dir() for one in kept.iterdir()):
        lines.append(f"runs that failed: {shown(kept)}")
    return "\n".join(lines)
