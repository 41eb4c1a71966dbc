"""Renders the results of the commands for many runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from loadgen.cli.console import TextConsole
from loadgen.cli.show import COLOUR
from loadgen.core.option import shell
from loadgen.core.verdict import Judgement
from loadgen.report.suite import headline
from loadgen.store.runs import is_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.report.suite import RowTold
    from loadgen.store.runs import FoundRun
    from loadgen.store.verification import Verification
    from loadgen.suite import RecordedRow, SuiteRow

CAUSES = 3
"""Number of causes shown for each run."""
GAP = 4
"""Spaces between two columns."""
WORD = 12
"""Width at which a word of a column is broken."""
LEAST = 2
"""Number of columns that are always shown: a run, and what came of it."""


def suite(rows: Sequence[RowTold]) -> str:
    """Render a suite: a table, then the results of the runs that are not identical."""
    table = _table("run", "verdict", "requests", "took", "target")
    for row in rows:
        took = "" if row.seconds is None else f"{row.seconds:.2f} s"
        count = "" if row.requests is None else f"{row.requests:,}"
        verdict = Text(row.judgement.value, style=COLOUR[row.judgement])
        table.add_row(Text(row.label), verdict, count, took, Text(row.target))
    console = TextConsole()
    console.print(_fitting(table, console.width))
    for row in rows:
        if row.judgement is Judgement.IDENTICAL:
            continue
        console.print(Text.assemble((f"\n{row.label}", "bold"), f"  {_brief(row.what)}"))
        for cause in row.causes[:CAUSES]:
            what = (
                "" if cause.number == 1 else f" {cause.request}: {_line(cause.what)}"
            )  # the first cause is in the lead
            console.print(Text(f"  at fault: {cause.label}.{what} {cause.why}"))
        if len(row.causes) > CAUSES:
            console.print(Text(f"  … and {len(row.causes) - CAUSES} more causes"))
        if row.target:
            console.print(Text(f"  {shell('verify', Path(row.path))}"), soft_wrap=True)
    console.print(Text(f"\n{headline(rows)}", style="bold"))
    return console.text()


def recorded(rows: Sequence[RecordedRow]) -> str:
    """Render the recordings of several folders: a table, then why some could not be recorded."""
    table = _table("folder", "recorded", "requests", "at once", "took", "answers", "client")
    for row in rows:
        if row.recorded is None:
            table.add_row(Text(row.folder), Text("no", style=COLOUR[Judgement.UNDETERMINED]))
            continue
        totals, manifest = row.recorded.totals, row.recorded.manifest
        answers = "  ".join(f"{status}: {count}" for status, count in totals.statuses.items())
        visit = totals.visit
        client = "" if visit is None or visit.exit_code is None else f"exit code {visit.exit_code}"
        table.add_row(
            Text(row.folder),
            Text("yes", style=COLOUR[Judgement.IDENTICAL]),
            f"{totals.requests:,}",
            str(manifest.concurrency),
            f"{totals.seconds:.2f} s",
            Text(answers),
            Text(client),
        )
    console = TextConsole()
    console.print(_fitting(table, console.width))
    for row in rows:
        if row.problem is not None:
            console.print(Text.assemble((f"\n{row.folder}", "bold"), f"  {_brief(row.problem.message)}"))
            if row.problem.advice:
                console.print(Text(f"  {row.problem.advice}"))
    if names := [Path(row.folder) for row in rows if row.recorded]:
        console.print(Text(f"\nnext  {shell('verify', *names)}", style="bold"), soft_wrap=True)
    return console.text()


def recorded_json(rows: Sequence[RecordedRow]) -> str:
    """Return the recordings of several folders as JSON."""
    content = [
        {
            "folder": row.folder,
            "run": str(row.recorded.run.path) if row.recorded else None,
            "requests": row.recorded.totals.requests if row.recorded else None,
            "problem": row.problem.message if row.problem else None,
        }
        for row in rows
    ]
    return json.dumps(content, indent=2)


def suite_json(rows: Sequence[SuiteRow]) -> str:
    """Return the verdicts as JSON, run by run."""
    content = [
        {
            "run": row.run.label,
            "path": str(row.run.path),
            "verdict": row.judgement.value,
            "evidence": str(row.verified.folder) if row.verified else None,
            "reasons": [one.message for one in row.reasons],
            "causes": [cause.why for cause in row.verified.verdict.causes] if row.verified else [],
        }
        for row in rows
    ]
    return json.dumps(content, indent=2)


def runs(found: Sequence[tuple[FoundRun, int, Verification | None]]) -> str:
    """List runs, each with its size and its latest verification."""
    table = _table("run", "verdict", "target", "traffic", "recorded", "requests", "size", "tags")
    for run, size, latest in found:
        verdict = Text("never verified", style="dim")
        if run.manifest is None:
            assert run.problem is not None
            what = "damaged" if is_run(run.path) else "not a run"
            table.add_row(Text(run.label), Text(what, style=COLOUR[Judgement.UNDETERMINED]))
            continue
        if latest is not None:
            judgement = latest.verdict.judgement if latest.verdict else Judgement.UNDETERMINED
            verdict = Text(judgement.value, style=COLOUR[judgement])
        spec = run.manifest.spec
        table.add_row(
            Text(run.label),
            verdict,
            Text(spec.target_name),
            Text(spec.traffic_name),
            f"{run.manifest.created[:10]} {run.manifest.created[11:16]}",
            "" if run.manifest.requests is None else f"{run.manifest.requests:,}",
            _size(size),
            Text(", ".join(spec.label.tags)),
        )
    console = TextConsole()
    console.print(_fitting(table, console.width))
    for run, _, _ in found:
        if run.problem is not None:
            console.print(Text(f"{run.label}: {run.problem.message}", style="yellow"))
        elif run.manifest is not None and run.manifest.spec.label.note:
            console.print(Text(f"{run.label}: {run.manifest.spec.label.note}"))
        if run.manifest is not None and (expires := run.manifest.expires) is not None:
            console.print(Text(f"{run.label}: to be used until {expires:%Y-%m-%d}"))
    return console.text()


def runs_json(found: Sequence[tuple[FoundRun, int, Verification | None]]) -> str:
    """List runs as JSON."""

    def row(run: FoundRun, size: int, latest: Verification | None) -> dict[str, Any]:
        content: dict[str, Any] = {"run": run.label, "path": str(run.path), "size": size}
        if run.manifest is None:
            return {**content, "problem": run.problem.message if run.problem else ""}
        spec, expires = run.manifest.spec, run.manifest.expires
        verdict = None
        if latest is not None:
            verdict = latest.verdict.judgement.value if latest.verdict else Judgement.UNDETERMINED.value
        return {
            **content,
            "target": spec.target_name,
            "traffic": spec.traffic_name,
            "recorded": run.manifest.created,
            "state": run.manifest.result.state.value,
            "requests": run.manifest.requests,
            "tags": list(spec.label.tags),
            "note": spec.label.note,
            "expires": expires and expires.isoformat(),
            "verdict": verdict,
        }

    return json.dumps([row(*one) for one in found], indent=2)


def _brief(text: str) -> str:
    """Return the first and the last line of *text*, as one: of a traceback, what failed and the exception."""
    lines = [line for one in text.splitlines() if (line := _line(one))]
    return " … ".join(dict.fromkeys((*lines[:1], *lines[-1:])))


def _line(text: str) -> str:
    return " ".join(text.split())


def _size(count: int) -> str:
    return f"{count / 1024:,.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for name in names:
        right = name in {"requests", "at once", "took", "size"}
        # A name is there to be copied into the next command: it is on one line.
        table.add_column(
            name, justify="right" if right else "left", overflow="fold", no_wrap=name in {"run", "folder"}
        )
    return table


def _fitting(table: Table, width: int) -> Table:
    """Leave out the last columns of *table*, as far as *width* has no room for words of all of them."""
    needed = 0
    for number, column in enumerate(table.columns):
        cells = [str(one) for one in (column.header, *column.cells)]
        words = cells if column.no_wrap else [word for cell in cells for word in cell.split()]
        longest = max(map(len, words), default=0)
        needed += GAP + (longest if column.no_wrap else min(longest, WORD))
        if needed <= width + GAP:
            continue
        if number >= LEAST:
            del table.columns[number:]
            break
        table.columns[0].no_wrap = False
    return table
