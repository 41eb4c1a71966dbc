"""Renders the results of commands as text for stdout."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.cli.console import TextConsole
from loadgen.core.location import own_call
from loadgen.core.option import shell
from loadgen.core.spec import ModeName, is_builtin
from loadgen.core.verdict import Judgement
from loadgen.protocol import QUESTION_NOT_RECORDED
from loadgen.report import wording
from loadgen.report.asked import call_diff, diff_lines
from loadgen.report.failing import failing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.containers.clean import Cleaned
    from loadgen.core.events import Visit
    from loadgen.core.invariants import Checked
    from loadgen.core.verdict import Divergence, Verdict
    from loadgen.record import Recorded
    from loadgen.store.manifest import Manifest, Spread, Totals
    from loadgen.verify import Verified

SHOWN = 3
"""Number of causes shown; verdict.json has all."""
LOGGED = 12
"""Number of calls shown of the logged request; verdict.json has more."""
CALLS = 8
"""Calls of a route that it shows."""
_SIGNS = {"-": "green", "+": "red"}
LISTED = 8
"""Number of requests listed for a cause."""
_LIBRARY = re.compile(r"^/.*/(?:(?:site|dist)-packages|lib/python3[.\d]*)/")
COLOUR = {
    Judgement.IDENTICAL: "bold green",
    Judgement.DIVERGED: "bold red",
    Judgement.UNDETERMINED: "bold yellow",
}


def recorded(result: Recorded, checked: Sequence[Checked] = ()) -> str:
    """Render the result of a recording."""
    manifest, totals, end = result.manifest, result.totals, result.end
    rate = f"{totals.requests / max(totals.seconds, 1e-9):.0f}/s"
    answers = [f"{status}: {count}" for status, count in totals.statuses.items()]
    answers += [f"no answer: {totals.failures}"] if totals.failures else []
    requests = wording.count(totals.requests, "request")
    lines = [
        f"recorded   {requests}, {manifest.concurrency} at a time, in {totals.seconds:.2f} s",
        f"speed      {rate}; {_latency(totals)}",
        *_outcomes(totals),
        *_open_load(manifest, totals),
        f"answers    {'  '.join(answers)}",
        *_clients(totals.visit),
        f"run        {result.run.path}",
        *_sealed(manifest),
    ]
    lines += [f"{word(one):<10} {one.invariant}: {one.message}" for one in checked if not one.holds]
    lines += [f"warning    {told}"] if (told := _failing(manifest)) else []
    for one in totals.conditions:
        if one.holds:
            lines.append(f"fail-if    {one.text}: it is {one.measured}")
    if end.interrupted:
        lines.append("interrupted: the part recorded so far is complete and can be verified")
    if end.failed:
        lines.append(f"failed     {end.failed} of {end.iterations} iterations:")
        lines += [f"  {count} x {what}" for what, count in end.errors.items()]
    run = () if result.run.is_latest() else (result.run.path,)
    lines.append(f"next       {shell('verify', *run)}")
    return "\n".join(lines)


def _sealed(manifest: Manifest) -> list[str]:
    if manifest.sealed is None:
        return []
    number = sum(manifest.sealed.replaced.values())
    return [
        f"sealed     {wording.count(number, 'secret')} replaced; verify needs the key {manifest.sealed.key}"
    ]


def word(checked: Checked) -> str:
    """Return the result of checking an invariant, in a word."""
    return {True: "holds", False: "BROKEN", None: "unknown"}[checked.holds]


def _clients(visit: Visit | None) -> list[str]:
    """Return lines on the clients of the gateway; they do not affect a verdict."""
    if visit is None:
        return []
    code = "" if visit.exit_code is None else f"; the command ended with exit code {visit.exit_code}"
    lines = [f"client     {wording.count(visit.connections, 'connection')}{code}"]
    lines += [f"refused    {count} x {why}, not recorded" for why, count in visit.refused.items()]
    lines += [f"left       {count} x {when}" for when, count in visit.left.items()]
    return lines


def _latency(of: Totals | Spread) -> str:
    """Return percentiles and the longest time, in milliseconds."""
    return (
        f"p50 {of.p50_ms} ms, p90 {of.p90_ms} ms, p95 {of.p95_ms} ms, p99 {of.p99_ms} ms, max {of.max_ms} ms"
    )


def _outcomes(totals: Totals) -> list[str]:
    """Return separate figures for successes and failures, if there are both."""
    parts = (("succeeded", totals.succeeded), ("failed", totals.failed))
    return [f"  {name:<9} {part.count}; {_latency(part)}" for name, part in parts if part and part.count]


def _failing(manifest: Manifest) -> str:
    return failing(manifest.result.totals, is_builtin=is_builtin(manifest.spec.traffic))


def _open_load(manifest: Manifest, totals: Totals) -> list[str]:
    """With an arrival rate, return the latency from when requests were due, and the number of late ones."""
    if not (rate := manifest.spec.load.shape.rate):
        return []
    late = "each started when it was due"
    if totals.waited:
        late = f"{totals.waited} were due when no user was free, and waited up to {totals.longest_wait_ms} ms"
    return [
        f"corrected  p50 {totals.corrected_p50_ms} ms, p99 {totals.corrected_p99_ms} ms: from when due",
        f"arrivals   {totals.iterations} iterations at {rate:g}/s; {late}",
    ]


def verdict(result: Verified, manifest: Manifest, *, explain: bool = False) -> str:
    """Render a verdict with its evidence and what to do next."""
    found = result.verdict
    console = TextConsole()
    console.print(_headline(found))
    console.print(_facts(result, manifest))
    _print_reasons(console, found)
    run = shown(result.folder.parent.parent)
    asks = any(one.code == QUESTION_NOT_RECORDED for one in found.reasons)
    if asks and (command := wording.debug_run(found, run)):
        console.print(Text.assemble(("debug: ", "bold"), command))
    for told in wording.causes(found, wording.OPEN)[:SHOWN]:
        console.print(_cause(told, len(found.causes), run))
        if told.number == 1 and explain:
            console.print(_explained(told.head, found))
    if len(found.causes) > SHOWN:
        console.print(
            f"\n… and {len(found.causes) - SHOWN} more causes in {shown(result.folder / 'verdict.json')}"
        )
    _print_calls(console, found)
    if found.order:
        step = found.order.differences[0]
        console.print(Text("\nserver order", style="bold"))
        console.print(_sides(((step.field, step.recorded, step.replayed),)))
    return console.text()


def headline(found: Verdict) -> str:
    """Render the judgement of a verdict, with its first sentences."""
    console = TextConsole()
    console.print(_headline(found))
    return console.text()


def _headline(found: Verdict) -> Text:
    head = Text(found.judgement.value.upper(), style=COLOUR[found.judgement])
    told = [wording.lead(found, wording.OPEN), wording.capital(wording.at_fault(found))]
    what = " ".join(one if one.endswith(".") else f"{one}." for one in told if one)
    return head.append(f"  {what}", style="not bold default")


def _print_reasons(console: Console, found: Verdict) -> None:
    for one in found.reasons:
        fault, why, advice = wording.reason(one, wording.OPEN)
        console.print(Text(f"\n{fault}: {why}", style="yellow"))
        if advice:
            console.print(Text(f"  {advice}"))


def _print_calls(console: Console, found: Verdict) -> None:
    """Print the call diff, by route."""
    groups = call_diff(found, wording.OPEN)
    for one in groups[:SHOWN]:
        console.print(Text(f"\n{one.title}", style="bold"))
        for line in diff_lines(one, CALLS):
            console.print(Text(f"  {line}", style=_SIGNS.get(line[0], "dim")))
    if len(groups) > SHOWN:
        more = wording.count(len(groups) - SHOWN, "more route")
        console.print(f"\n… and {more} with other calls: loadgen report, or --json")


def _facts(result: Verified, manifest: Manifest) -> Table:
    found, spec = result.verdict, manifest.spec
    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")

    def add(name: str, told: str) -> None:
        if told:
            facts.add_row(name, Text(told))  # text from a user is not markup

    add("run", f"{manifest.id}: {spec.target_name}, {spec.traffic_name}, {manifest.concurrency} at a time")
    add("replayed", wording.replayed(found))
    add("compared", wording.compared(found))
    add("unanswered", wording.unanswered(found))
    add("replays", wording.replays(found))
    add("left out", wording.left_out(found))
    add("warning", _failing(manifest))
    if found.order_steps is not None:
        add("order", wording.order(found))
    if found.facts.replay == ModeName.BOUNDARY:
        add("threads", wording.SCHEDULES[spec.threads])
    if manifest.result.database_used and (database := found.facts.database) and not database.exists:
        add("database", f"{database.path} does not exist")
    if seconds := found.facts.seconds:
        add("took", f"{seconds.replay:.2f} s (recording: {seconds.recording or 0:.2f} s)")
    add("code", wording.code_changed(found))
    add("around", "; ".join(wording.altered(found, wording.OPEN)))
    add("calls", wording.calls(found))
    add("evidence", shown(result.folder))
    return facts


def _cause(told: wording.Told, of: int, run: str) -> Table:
    table = Table.grid()
    label = f"cause {told.number} of {of}: " if of > 1 else ""
    head = told.head
    table.add_row(
        Text(f"\n{label}request {head.seq}  {told.request}  (virtual user {head.user})", style="bold")
    )
    table.add_row(_sides(tuple(wording.sides(one, wording.OPEN) for one in head.differences)))
    if told.others:
        table.add_row(Text(f"and {told.others}"))
    table.add_row(Text.assemble(("at fault: ", "bold"), (told.label, "bold yellow"), f" — {told.why}"))
    table.add_row(Text(told.advice, style="italic"))
    if command := wording.debug(told, run):
        table.add_row(Text.assemble(("debug: ", "bold"), command))
    return table


def _explained(first: Divergence, found: Verdict) -> Group:
    """Render what the first request of a cause did in the replay that call_log it."""
    call_log = found.facts.call_log
    seen = call_log.logged if call_log and call_log.seq == first.seq else None
    parts: list[RenderableType] = []
    if seen and seen.calls:
        last = seen.calls[-LOGGED:]
        of = f", the last {len(last)} of {seen.count}" if seen.count > len(last) else ""
        parts.append(Text(f"\nresults of its calls, from the recording{of}:"))
        calls = Table(box=None, padding=(0, 2), pad_edge=False, show_header=False)
        calls.add_column(overflow="fold", ratio=3)
        calls.add_column(overflow="fold", ratio=2)
        for call in last:
            calls.add_row(Text(f"  {_located(call.at)}"), Text(call.got or "(nothing)", style="green"))
        parts.append(calls)
    if first.left is None:
        parts.append(
            Text("\nit did not leave the tape: it took every recorded step, and answered differently")
        )
        return Group(*parts)
    if first.stack:
        parts.append(Text("\nwhere it left the tape, innermost call first:"))
        parts += [Text(f"  {call}") for call in first.stack]
    if seen:
        further = seen.left_over[:LOGGED]
        parts.append(Text("\nthe next calls in the recording:"))
        parts += [Text(f"  {one}", style="green") for one in further] or [Text("  (nothing)")]
    if said := found.facts.engine_log:
        parts.append(Text(f"\nserver.log, from line {said.first}:"))
        parts += [Text(f"  {line}", style="dim") for line in said.lines]
    return Group(*parts)


def _located(calls: Sequence[str]) -> str:
    """Return the application's own call, and the library's call that it made."""
    own = own_call(calls)
    location, _, line = own.partition(": ")
    told = f"{_near(location)}: {line}"
    return told if own == calls[0] else f"{told}  → {calls[0].partition(': ')[2]}"


def _near(location: str) -> str:
    """Shorten the location of a file below this directory, or of an installed library."""
    return _LIBRARY.sub("", location.removeprefix(f"{Path.cwd()}/"))


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
    """Render the differences of two transcripts, grouped by kind."""
    console = TextConsole()
    console.print(_headline(found))
    facts = Table.grid(padding=(0, 2))
    for name, path in zip("AB", found.facts.compared_with or (), strict=False):
        facts.add_row(name, path)
    facts.add_row("left out", ", ".join(rule.name for rule in found.rules))
    console.print(facts)
    _print_reasons(console, found)
    for members in groups[:SHOWN]:
        one = members[0]
        console.print(
            Text(f"\nrequest {one.seq}  {one.method} {one.target}  (user {one.user})", style="bold")
        )
        rows = tuple(wording.sides(difference, wording.OPEN) for difference in one.differences)
        console.print(_sides(rows, names=("A", "B")))
        if len(members) > 1:
            console.print(f"and {len(members) - 1} more of the same kind")
    if len(groups) > SHOWN:
        console.print(f"\n… and {len(groups) - SHOWN} more kinds of difference: --json shows all")
    return console.text()


def diff_json(found: Verdict) -> str:
    """Render the differences of two transcripts as JSON."""
    return json.dumps(found.to_json(), indent=2)


def shown(path: Path) -> str:
    """Return *path* relative to the current directory, if it is below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def cleaned(result: Cleaned) -> str:
    """Render what was removed, and what was not."""
    lines = [f"removed    {what}" for what in result.removed]
    lines += [f"in use     {what}" for what in result.in_use]
    lines = lines or ["nothing to remove"]
    return "\n".join([*lines, *([f"docker     not cleaned: {result.not_asked}"] if result.not_asked else [])])


def manifest_json(result: Recorded) -> str:
    """Render a run's manifest as JSON, with its path."""
    return json.dumps({**result.manifest.to_json(), "path": str(result.run.path)}, indent=2)


def verdict_json(result: Verified) -> str:
    """Render a verdict as JSON, with the path of its evidence."""
    return json.dumps({**result.verdict.to_json(), "path": str(result.folder)}, indent=2)
