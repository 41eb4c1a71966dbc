"""Output of stress and shrink: live progress on stderr, the summary as text for stdout."""

from __future__ import annotations

import json
import shlex
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.table import Table
from rich.text import Text

from loadgen.cli.console import TextConsole, on_stderr
from loadgen.cli.live import LiveView
from loadgen.cli.show import COLOUR, shown
from loadgen.core.option import words
from loadgen.core.verdict import Judgement
from loadgen.hunt import oracle
from loadgen.hunt.stress import StressObserver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loadgen.hunt.grid import Cell, Trial
    from loadgen.hunt.summary import Summary, TrialCounts
    from loadgen.hunt.trial import TrialResult

SHOWN = 10
"""Number of causes and of failing trials shown; summary.json has all."""
MEANING = (
    "diverges: the rate at which such trials diverge is in this range (95 % confidence); what is "
    "undetermined is left out"
)


class StressProgress(LiveView, StressObserver):
    """Shows counts and running trials if stderr is a terminal; otherwise one line per trial."""

    REFRESHED = 4

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._count = dict.fromkeys(Judgement, 0)
        self._trials = self._done = 0
        self._running: dict[str, float] = {}
        self._began = monotonic()
        self._fleet = ""

    def begin(self, trials: int, done: int, fleet: str) -> None:
        """Note the number of trials."""
        self._trials, self._done, self._fleet = trials, done, fleet
        if done:
            self._print(Text(f"{done} of {trials} trials are made already"))

    def started(self, trial: Trial) -> None:
        """Note that a trial begins."""
        self._running[trial.name] = monotonic()

    def finished(self, trial: Trial, result: TrialResult) -> None:
        """Print a trial that is not identical; without a terminal, every trial."""
        self._running.pop(trial.name, None)
        self._done += 1
        self._count[result.judgement] += 1
        if result.judgement is not Judgement.IDENTICAL or self._live is None:
            took = result.record_seconds + result.verify_seconds
            line = Text(f"{self._done:>{len(str(self._trials))}}/{self._trials}  {trial.name:<10}  ")
            line.append(f"{result.judgement.value:<12}", style=COLOUR[result.judgement])
            line.append(f"  {took:5.1f} s  {result.message}".rstrip())
            self._print(line)

    def _print(self, line: Text) -> None:
        if not self._quiet:
            self._console.print(line, soft_wrap=True)

    def _render(self) -> Group:
        head = Text(f"{self._done}/{self._trials} trials", style="bold")
        for judgement, count in self._count.items():
            style = COLOUR[judgement] if count else "dim"
            head.append(f"  {count} {judgement.value}", style=style)
        head.append(f"  {_time(monotonic() - self._began)}  ({self._fleet})", style="not bold")
        now = monotonic()
        running = "  ".join(f"{name} {now - began:.0f} s" for name, began in self._running.items())
        return Group(head, Text(running, style="dim", overflow="ellipsis", no_wrap=True))


class Shrinking(oracle.ShrinkObserver):
    """Prints each phase of a shrink and each accepted case; on a terminal, also the rejected ones."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = on_stderr()
        self._began = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing."""

    def phase(self, what: str) -> None:
        """Print a phase."""
        self._print(Text(what, style="bold"))

    def tried(self, size: str, measured: oracle.FailureRate, *, kept: bool) -> None:
        """Print a candidate."""
        told = f"  {size}: {measured.failures} of {measured.trials} failed"
        self._print(Text(told, style="" if kept else "dim").append("; taken" if kept else "", style="green"))

    def _print(self, line: Text) -> None:
        if not self._quiet:
            self._console.print(Text(f"{_time(monotonic() - self._began):>6}  ").append(line), soft_wrap=True)


def shrunk(content: Mapping[str, Any], how_often: str) -> str:
    """Render the result of a shrink."""
    before, after = content["before"], content["after"]
    lines = [
        f"shrunk    {before['requests']} requests by {before['users']} virtual users to "
        f"{after['requests']} by {after['users']}" + ("" if content["complete"] else ", when time was up"),
        f"failure   {content['failure']}",
        f"fault     {content['fault']}" + (f": {content['why']}" if content["why"] else ""),
        f"fails     {how_often}",
        f"tried     {content['candidates']} candidates in {content['all_trials']} trials",
        f"written   {content['path']}",
        f"again     cd {shlex.quote(content['path'])}; " + "; ".join(content["commands"]),
    ]
    return "\n".join(lines)


def shrunk_json(content: Mapping[str, Any]) -> str:
    """Render the result of a shrink as JSON."""
    return json.dumps(content, indent=2)


def summary(found: Summary, folder: Path) -> str:
    """Render the result of a search, the interval that it implies, and how to repeat each failure."""
    console = TextConsole()
    console.print(_headline(found))
    console.print(_facts(found, folder))
    console.print()
    console.print(_cells(found))
    console.print(Text(MEANING, style="dim"))
    for number, kind in enumerate(found.kinds[:SHOWN], 1):
        console.print(Text(f"\ncause {number}: {kind.what}", style="bold"))
        console.print(Text(f"  in {kind.count} of {found.total.made} trials: {_some(kind.trials)}"))
        console.print(
            Text.assemble(("  fault: ", "bold"), (kind.fault, "bold yellow"), f"  {kind.why}".rstrip())
        )
        console.print(Text(f"  first in {kind.first}: {kind.headline}"))
    if found.failures:
        console.print(Text("\nfailing trials: what was kept, and the same again", style="bold"))
    for failure in found.failures[:SHOWN]:
        head = Text(f"{failure.trial.name}  ", style=COLOUR[failure.result.judgement])
        console.print(head.append(failure.run, style="not bold default"), soft_wrap=True)
        console.print(Text(f"  {failure.result.command}"), soft_wrap=True)
    if len(found.failures) > SHOWN or len(found.kinds) > SHOWN:
        console.print(f"… and more in {shown(folder / 'summary.json')}")
    return console.text()


def summary_json(found: Summary, folder: Path) -> str:
    """Render a summary as JSON, with its path."""
    return json.dumps({**found.to_json(), "path": str(folder)}, indent=2)


def _headline(found: Summary) -> Text:
    total = found.total
    match found.judgement:
        case Judgement.IDENTICAL:
            what = f"in all {total.made} trials"
        case Judgement.DIVERGED:
            what = f"in {total.diverged} of {total.made} trials"
        case Judgement.UNDETERMINED if total.made:
            what = f"in {total.undetermined} of {total.made} trials; none diverged"
        case Judgement.UNDETERMINED:
            what = "no trial was made"
    return Text(found.judgement.value.upper(), style=COLOUR[found.judgement]).append(
        f"  {what}", style="not bold default"
    )


def _facts(found: Summary, folder: Path) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")
    facts.add_row("target", Text(found.grid.record.target_name))
    if len(found.grid.scenarios) == 1:
        facts.add_row("scenario", Text(found.grid.scenarios[0]))
    left = frozenset({"target"})
    if options := " ".join((*words(found.grid.record.public, without=left), *words(found.grid.verify))):
        facts.add_row("options", Text(options))
    facts.add_row("trials", Text(f"{found.total.made} of {found.total.planned}; {found.ended}"))
    facts.add_row("requests", Text(f"{found.requests}"))
    if found.ratio is not None:
        facts.add_row("speed", Text(f"replay/recording, median: {found.ratio:.2f}"))
    facts.add_row("evidence", Text(shown(folder)))
    return facts


def _cells(found: Summary) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    named = _names([cell for cell, _ in found.cells])
    for name in named:
        table.add_column(name, justify="right" if name == "concurrency" else "left")
    for name in ("identical", "diverged", "undetermined", "diverges"):
        table.add_column(name, justify="right")
    for cell, tally in found.cells:
        table.add_row(*(str(getattr(cell, name)) for name in named), *_counts(tally))
    if len(found.cells) > 1:
        table.add_row("all", *[""] * (len(named) - 1), *_counts(found.total), style="bold")
    return table


def _names(cells: Sequence[Cell]) -> list[str]:
    """Return names of cells by their differences; concurrency is always shown."""
    differing = [name for name in ("runtime", "scenario") if len({getattr(one, name) for one in cells}) > 1]
    return [*differing, "concurrency"]


def _counts(tally: TrialCounts) -> list[Text | str]:
    counts: list[Text | str] = [str(tally.identical)]
    for judgement, count in (
        (Judgement.DIVERGED, tally.diverged),
        (Judgement.UNDETERMINED, tally.undetermined),
    ):
        counts.append(Text(str(count), style=COLOUR[judgement] if count else "dim"))
    low, high = tally.rate
    return [
        *counts,
        f"{percent(low)} to {percent(high)}" if tally.identical + tally.diverged else "not known",
    ]


def percent(rate: float) -> str:
    """Return *rate* in per cent, with two significant digits."""
    if 0 < rate < 0.1:  # noqa: PLR2004 - a rare thing
        return f"{rate * 100:.1f} %"
    return f"{rate * 100:.0f} %"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
