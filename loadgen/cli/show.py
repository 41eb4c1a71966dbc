"""What the commands show: live progress on stderr, results as text for stdout."""

from __future__ import annotations

import json
import re
import signal
import sys
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.cli.live import LiveView
from loadgen.client.session import Stop
from loadgen.core.comparison import RULES
from loadgen.core.location import own_call
from loadgen.core.verdict import Judgement
from loadgen.errors import Interrupted
from loadgen.record import Watcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from loadgen.containers.clean import Cleaned
    from loadgen.core.diagnosis import Cause
    from loadgen.core.verdict import Divergence, Verdict
    from loadgen.record import Figures, Recorded
    from loadgen.store.run_folder import Manifest
    from loadgen.verify import Verified

T = TypeVar("T")
SHOWN = 3
"""Causes that the terminal shows; verdict.json has all."""
WATCHED = 12
"""Calls of a watched request that it shows; verdict.json has more."""
LISTED = 8
"""Requests of a cause that it lists."""
_LIBRARY = re.compile(r"^/.*/(?:(?:site|dist)-packages|lib/python3[.\d]*)/")
_STOPPING = (signal.SIGINT, signal.SIGTERM)
COLOUR = {
    Judgement.IDENTICAL: "bold green",
    Judgement.DIVERGED: "bold red",
    Judgement.UNDETERMINED: "bold yellow",
}


def interruptible(call: Callable[[Stop], Awaitable[T]], *, at_once: bool = False) -> T:
    """Run *call*; the first Ctrl-C or SIGTERM asks it to stop, the second (or the first, *at_once*) ends it.

    Raises:
        Interrupted: it was ended.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in _STOPPING}

    async def supervised() -> T:
        result: list[T] = []
        interrupted = False

        async def listen(scope: anyio.CancelScope) -> None:
            nonlocal interrupted
            with anyio.open_signal_receiver(*_STOPPING) as signals:
                async for _ in signals:
                    if stop.requested or at_once:
                        interrupted = True
                        scope.cancel()
                        break
                    stop.requested = True
                    print("loadgen: finishing what is under way (again to stop at once)", file=sys.stderr)
            for number in _STOPPING:  # one more must not interrupt the cleaning up, which is time-limited
                signal.signal(number, signal.SIG_IGN)

        async with anyio.create_task_group() as group:
            group.start_soon(listen, group.cancel_scope)
            try:
                result.append(await call(stop))
            finally:
                group.cancel_scope.cancel()
        if interrupted:
            raise Interrupted("interrupted")
        return result[0]

    try:
        return anyio.run(supervised)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress(LiveView, Watcher):
    """Live figures on a terminal's stderr; nothing where stderr is none, but a scenario's story."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._stage = ""
        self._journal: Figures | None = None
        self._total: int | None = None
        self._until: float | None = None

    def stage(self, what: str) -> None:
        """Say that *what* begins."""
        self._stage, self._journal = what, None

    def journal(self, journal: Figures, total: int | None, until: float | None = None) -> None:
        """Show the figures of *journal* from now on."""
        self._journal, self._total, self._until = journal, total, until

    def say(self, line: str) -> None:
        """Tell a line of a scenario's story."""
        if not self._quiet:
            self._console.print(line, markup=False)

    def _render(self) -> Text:
        text = Text(f"{self._stage} …", style="bold")
        journal = self._journal
        if journal is not None and self._until is not None:
            text.append(f"  {max(0.0, self._until - journal.elapsed):.0f} s left", style="not bold")
        if journal is not None and journal.requests:
            of = f"/{self._total}" if self._total else ""
            rate = journal.requests / max(journal.elapsed, 1e-9)
            errors = sum(
                count
                for status, count in journal.statuses.items()
                if status >= httpx.codes.INTERNAL_SERVER_ERROR
            )
            p50, p99 = (journal.latency.percentile(percent) * 1000 for percent in (50, 99))
            text.append(
                f"  {journal.requests}{of} requests  {rate:.0f}/s  p50 {p50:.1f} ms  p99 {p99:.1f} ms",
                style="not bold",
            )
            bad = journal.failures + errors
            text.append(f"  {bad} errors", style="not bold red" if bad else "not bold")
        return text


def recorded(result: Recorded) -> str:
    """Tell what was recorded."""
    manifest, totals = result.manifest, result.manifest.totals
    seconds = totals["seconds"]
    rate = f"{totals['requests'] / max(seconds, 1e-9):.0f}/s"
    latency = f"p50 {totals['p50_ms']} ms, p99 {totals['p99_ms']} ms"
    statuses = "  ".join(f"{status}: {count}" for status, count in totals["statuses"].items())
    lines = [
        f"recorded   {totals['requests']} requests, {manifest.concurrency} at a time, in {seconds:.2f} s",
        f"speed      {rate}; {latency}",
        *_open_load(manifest),
        f"answers    {statuses}" + (f"  none: {totals['failures']}" if totals["failures"] else ""),
        f"run        {result.run.path}",
    ]
    if result.interrupted:
        lines.append("interrupted: what was recorded until then is complete and can be verified")
    if result.outcome.failed:
        lines.append(f"failed     {result.outcome.failed} of {result.outcome.iterations} iterations:")
        lines += [f"  {count} x {what}" for what, count in result.outcome.errors.items()]
    lines.append(
        "next       loadgen verify"
        + ("" if result.run.is_latest() else f" {result.run.path}")
        + ("" if manifest.runtime == "local" else f" --runtime {manifest.runtime}")
    )
    return "\n".join(lines)


def _open_load(manifest: Manifest) -> list[str]:
    """Tell of an arrival rate what latency was from when each iteration was due, and how many were late."""
    totals = manifest.totals
    if not (rate := manifest.load.get("rate")):
        return []
    late = "each was begun when it was due"
    if totals["waited"]:
        late = (
            f"{totals['waited']} were due when no user was free, and waited up to "
            f"{totals['longest_wait_ms']} ms"
        )
    return [
        f"corrected  p50 {totals['corrected_p50_ms']} ms, p99 {totals['corrected_p99_ms']} ms: from when due",
        f"arrivals   {totals['iterations']} iterations at {rate:g}/s; {late}",
    ]


def verdict(result: Verified, manifest: Manifest, *, explain: bool = False) -> str:
    """Tell a verdict, with what a reader needs to believe it, and to act on it."""
    found = result.verdict
    console = Console(file=StringIO(), force_terminal=sys.stdout.isatty(), highlight=False, width=width())
    console.print(_headline(found))
    console.print(_facts(result, manifest))
    for reason in found.reasons:
        console.print(Text(f"\n{reason.fault}: {reason.message}", style="yellow"))
        if reason.advice:
            console.print(Text(f"  {reason.advice}"))
    for number, cause in enumerate(found.causes[:SHOWN], 1):
        console.print(_cause(cause, number, len(found.causes)))
        if number == 1 and explain:
            console.print(_explained(cause, found))
    if len(found.causes) > SHOWN:
        console.print(
            f"\n… and {len(found.causes) - SHOWN} more causes in {shown(result.folder / 'verdict.json')}"
        )
    if found.order:
        step = found.order.differences[0]
        console.print(Text("\nserver order", style="bold"))
        console.print(_sides(((step.field, step.recorded, step.replayed),)))
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())


def _headline(found: Verdict) -> Text:
    match found.judgement:
        case Judgement.IDENTICAL:
            what = f"all {found.requests} answers are the same"
        case Judgement.DIVERGED if found.diverged:
            what = f"{found.diverged} of {found.compared} answers differ"
        case Judgement.DIVERGED:
            who = "load generator lived" if found.facts.get("replay") == "client" else "server served"
            what = f"the {who} in another order"
        case Judgement.UNDETERMINED:
            what = "it cannot be told whether the answers are the same"
    if found.causes:
        faults = ", ".join(dict.fromkeys(cause.fault.value for cause in found.causes))
        what += f"; {len(found.causes)} cause{'s' if len(found.causes) > 1 else ''}, at fault: {faults}"
    head = Text(found.judgement.value.upper(), style=COLOUR[found.judgement])
    return head.append(f"  {what}", style="not bold default")


_SCHEDULES = {
    "turns": "recorded in turns, so that races in memory replay too",
    "parallel": "recorded in parallel, so that races in memory may replay otherwise",
}
_REPLAYED = {
    "alone": "by the engine alone: loadgen closed none of its gaps (record --engine-alone)",
    "process": "the whole server process, by the engine alone; no client, nothing listened",
    "client": "the load generator; no server, no connection",
}
_COMPARED = {
    "server": "status, headers, body bytes",
    "process": "status, all headers, body bytes",
    "client": "status, all headers, body bytes; what was sent, and when, by its clock",
}


def _calls(found: Verdict) -> str | None:
    """Sum up what changed code asks otherwise; None where calls were not aligned."""
    alignment = found.facts.get("alignment")
    if alignment is None:
        return None
    return ", ".join(alignment["summary"]) or "the same"


def _facts(result: Verified, manifest: Manifest) -> Table:  # noqa: C901 - a row a line
    found = result.verdict
    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")

    def add(name: str, told: str) -> None:
        facts.add_row(name, Text(told))  # what a user named is text, and no markup

    add("run", f"{manifest.id}: {manifest.target}, {manifest.scenario}, {manifest.concurrency} at a time")
    replay = found.facts.get("replay", "server")
    how = "alone" if found.facts.get("engine_alone") else replay
    if how in _REPLAYED:
        add("replayed", _REPLAYED[how])
    add("compared", f"{found.compared} of {found.requests} answers: {_COMPARED[replay]}")
    if len(replays := found.facts.get("replays", ())) > 1:
        each = ", ".join(f"{one['folder']} {one['verdict']}" for one in replays)
        add("replays", f"{len(replays)}: {each}; below, the worst")
    if asked := [rule.name for rule in found.rules if rule not in RULES]:
        add("left out", ", ".join(asked))
    if found.order_steps is not None:
        same = "differs" if found.order else "the same"
        steps = "sent, answered" if replay == "client" else "entering and finishing"
        add("order", f"{same}, {found.order_steps} steps: requests {steps}")
    if replay == "server":
        add("threads", _SCHEDULES[manifest.schedule])
    if manifest.database_used and not found.facts["database"]["exists"]:
        add("database", f"{found.facts['database']['path']} does not exist")
    if seconds := found.facts.get("seconds"):
        add("took", f"{seconds['replay']:.2f} s (recording: {seconds['recording']:.2f} s)")
    if edited := found.facts.get("changed_sources"):
        add("code", f"{len(edited)} of its files changed since it was recorded")
    if (calls := _calls(found)) is not None:
        add("calls", calls)
    add("evidence", shown(result.folder))
    return facts


def _cause(cause: Cause, number: int, of: int) -> Table:
    one = cause.first
    table = Table.grid()
    label = f"cause {number} of {of}: " if of > 1 else ""
    table.add_row(
        Text(
            f"\n{label}request {one.seq}  {one.method} {one.target}  (virtual user {one.user})", style="bold"
        )
    )
    table.add_row(_sides(tuple((d.field, d.recorded, d.replayed) for d in one.differences)))
    if cause.count > 1:
        others = ", ".join(str(seq) for seq in cause.requests[1:LISTED])
        more = ", …" if cause.count > LISTED else ""
        table.add_row(Text(f"and {cause.count - 1} more that follow from it, or are alike: {others}{more}"))
    table.add_row(Text.assemble(("fault: ", "bold"), (cause.fault.value, "bold yellow"), f" — {cause.why}"))
    table.add_row(Text(cause.advice, style="italic"))
    return table


def _explained(cause: Cause, found: Verdict) -> Group:
    """Tell how the first request of a cause went in the replay that watched it."""
    watched = found.facts.get("watched") or {}
    seen = watched.get("seen") if watched.get("seq") == cause.first.seq else None
    parts: list[RenderableType] = []
    if seen and seen["calls"]:
        last = seen["calls"][-WATCHED:]
        of = f", the last {len(last)} of {seen['count']}" if seen["count"] > len(last) else ""
        parts.append(Text(f"\nwhat its calls got from the recording{of}:"))
        calls = Table(box=None, padding=(0, 2), pad_edge=False, show_header=False)
        calls.add_column(overflow="fold", ratio=3)
        calls.add_column(overflow="fold", ratio=2)
        for call in last:
            calls.add_row(Text(f"  {_placed(call['at'])}"), Text(call["got"] or "(nothing)", style="green"))
        parts.append(calls)
    if not cause.first.evidence:
        parts.append(Text("\nit did not leave the tape: it took every recorded step, and answered otherwise"))
        return Group(*parts)
    if cause.first.stack:
        parts.append(Text("\nwhere it left the tape, innermost call first:"))
        parts += [Text(f"  {call}") for call in cause.first.stack]
    if seen:
        further = seen["left_over"][:WATCHED]
        parts.append(Text("\nwhat the recording has further, call by call:"))
        parts += [Text(f"  {one}", style="green") for one in further] or [Text("  (nothing)")]
    if said := found.facts.get("engine_log"):
        parts.append(Text(f"\nserver.log, from line {said['first']}:"))
        parts += [Text(f"  {line}", style="dim") for line in said["lines"]]
    return Group(*parts)


def _placed(calls: Sequence[str]) -> str:
    """Name the application's own call, and the library's that it led to."""
    own = own_call(calls)
    place, _, line = own.partition(": ")
    told = f"{_near(place)}: {line}"
    return told if own == calls[0] else f"{told}  → {calls[0].partition(': ')[2]}"


def _near(place: str) -> str:
    """Shorten a place of a file below this directory, or of an installed library."""
    return _LIBRARY.sub("", place.removeprefix(f"{Path.cwd()}/"))


def _sides(
    rows: tuple[tuple[str, str, str], ...], names: tuple[str, str] = ("recorded", "replayed")
) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("")
    for name in names:
        table.add_column(name, overflow="fold", ratio=1)
    for field, recorded_side, replayed_side in rows:
        table.add_row(Text(field), Text(recorded_side, style="green"), Text(replayed_side, style="red"))
    return table


def diff(found: Verdict, groups: Sequence[Sequence[Divergence]]) -> str:
    """Tell how two transcripts differ; differences that follow from one another are told once."""
    console = Console(file=StringIO(), force_terminal=sys.stdout.isatty(), highlight=False, width=width())
    console.print(_headline(found))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("A", found.facts["A"])
    facts.add_row("B", found.facts["B"])
    facts.add_row("left out", ", ".join(rule.name for rule in found.rules))
    console.print(facts)
    for reason in found.reasons:
        console.print(Text(f"\n{reason.fault}: {reason.message}", style="yellow"))
    for members in groups[:SHOWN]:
        one = members[0]
        console.print(
            Text(f"\nrequest {one.seq}  {one.method} {one.target}  (user {one.user})", style="bold")
        )
        rows = tuple((d.field, d.recorded, d.replayed) for d in one.differences)
        console.print(_sides(rows, names=("A", "B")))
        if len(members) > 1:
            console.print(f"and {len(members) - 1} more that follow from it, or are alike")
    if len(groups) > SHOWN:
        console.print(f"\n… and {len(groups) - SHOWN} more kinds of difference: --json shows all")
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())


def diff_json(found: Verdict) -> str:
    """Render the differences of two transcripts as JSON."""
    return json.dumps(found.to_json(), indent=2)


def shown(path: Path) -> str:
    """Return *path* as a user of this directory would call it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def width() -> int:
    """Return how wide a result may be."""
    return Console().width if sys.stdout.isatty() else 120


def cleaned(result: Cleaned) -> str:
    """Tell what was removed, and what was not."""
    lines = [f"removed    {what}" for what in result.removed]
    lines += [f"in use     {what}" for what in result.in_use]
    return "\n".join(lines or ["nothing to clean"])


def manifest_json(result: Recorded) -> str:
    """Render a run's manifest as JSON, with where it is."""
    return json.dumps({**asdict(result.manifest), "path": str(result.run.path)}, indent=2)


def verdict_json(result: Verified) -> str:
    """Render a verdict as JSON, with where its evidence is."""
    return json.dumps({**result.verdict.to_json(), "path": str(result.folder)}, indent=2)
