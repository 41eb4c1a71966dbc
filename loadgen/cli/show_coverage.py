"""Renders what recordings reach, and what thinning proposes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from loadgen.cli.console import TextConsole
from loadgen.cli.show import shown
from loadgen.report.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.thinning import Thinned
    from loadgen.report.coverage import FileCovered

MISSING = 12
"""Number of ranges of missing lines that are listed of a file."""
SPARE = 20
"""Number of requests listed that add nothing to their run."""


def coverage(files: Sequence[FileCovered], data: Path) -> str:
    """Render how much of each file was reached."""
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for name, justify in (("file", "left"), ("lines", "right"), ("reached", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("not reached", overflow="fold")
    statements = sum(one.statements for one in files)
    missing = sum(len(one.missing) for one in files)
    for one in files:
        ranges = _ranges(one.missing)
        more = f", and {len(ranges) - MISSING} more" if len(ranges) > MISSING else ""
        named = Text(", ".join(ranges[:MISSING]) + more)
        table.add_row(Text(shown(Path(one.file))), str(one.statements), f"{one.share:.0%}", named)
    reached = 1 - missing / statements if statements else 1.0
    table.add_row(Text("total", style="bold"), str(statements), f"{reached:.0%}", "")
    console = TextConsole()
    console.print(table)
    console.print(f"\ncoverage  {shown(data.resolve())}: coverage html --data-file {data} --show-contexts")
    return console.text()


def _ranges(lines: Sequence[int]) -> list[str]:
    found: list[list[int]] = []
    for line in lines:
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def thinned(result: Thinned) -> str:
    """Render a proposal."""
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for name in ("run", "requests", "lines", "routes", "calls", "proposal"):
        table.add_column(
            name, justify="right" if name in {"requests", "lines", "routes", "calls"} else "left"
        )
    for run in result.runs:
        adds = [f"+{run.adds[kind]}" for kind in ("line", "route", "call")]
        table.add_row(Text(run.name), str(run.requests), *adds, Text(run.proposal))
    console = TextConsole()
    console.print(table)
    for run in result.runs:
        if run.kept and run.spare:
            of = f"{len(run.spare)} of {count(run.requests, 'request')}"
            listed = ", ".join(map(str, run.spare[:SPARE])) + (", …" if len(run.spare) > SPARE else "")
            console.print(Text(f"\n{run.name}: {of} add nothing: {listed}"))
    for name, why in result.unknown.items():
        console.print(Text(f"\n{name}: kept, because {why}", style="yellow"))
    spare = [run.name for run in result.runs if not run.kept]
    console.print(f"\n{len(spare)} of {count(len(result.runs), 'run')} may be removed. Nothing was changed.")
    return console.text()
