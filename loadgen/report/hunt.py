"""The page about a search: one HTML file that looks like a run's report, without script and network.

It shows which cells diverged, with confidence intervals, what the failures have in common, and links to the
reports of the kept trials.
"""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING

from loadgen.core.verdict import Judgement
from loadgen.report.page import asset, fill, icon, policy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from loadgen.hunt.summary import FailedTrial, FailureKind, Summary, TrialCounts

STYLES = ("page.css", "hunt.css")
_HEADLINES = {
    Judgement.IDENTICAL: "Identical",
    Judgement.DIVERGED: "Diverged",
    Judgement.UNDETERMINED: "Undetermined",
}


def render(
    summary: Summary, name: str, command: Sequence[str], reports: Collection[str], *, version: str
) -> bytes:
    """Return the page as a UTF-8 HTML file; *reports* names the trials that have a report."""
    style = "\n".join(map(asset, STYLES))
    tone = summary.judgement.value
    parts = {
        "policy": policy(style),
        "title": escape(f"{_HEADLINES[summary.judgement]} · {name}"),
        "icon": icon(tone),
        "style": style,
        "tone": tone,
        "kicker": escape(f"stress {name} · {summary.grid.record.target_name}"),
        "headline": _HEADLINES[summary.judgement],
        "lead": escape(_lead(summary)),
        "facts": _facts(summary),
        "cells": _cells(summary),
        "causes": _causes(summary.kinds),
        "failures": _failures(summary, reports),
        "nav": ('<a href="#causes">Causes</a>' if summary.kinds else "")
        + ('<a href="#failures">Failing trials</a>' if summary.failures else ""),
        "command": escape(shlex.join(command)),
        "version": escape(version),
    }
    return fill("hunt.html", parts)


def _lead(summary: Summary) -> str:
    total = summary.total
    low, high = total.rate
    told = f"{total.diverged} of {total.identical + total.diverged} trials diverged"
    if total.undetermined:
        told += f", and of {total.undetermined} more it cannot be told"
    if not total.identical + total.diverged:
        return f"{told}."
    return f"{told}: with 95 % confidence, between {low:.1%} and {high:.1%} of such trials do."


def _facts(summary: Summary) -> str:
    total = summary.total
    shown = {
        "Trials": f"{total.made}<small>of {total.planned}; {escape(summary.ended)}</small>",
        "Identical": f"{total.identical}",
        "Diverged": f"{total.diverged}",
        "Undetermined": f"{total.undetermined}",
        "Requests": f"{summary.requests:,}",
    }
    if summary.ratio is not None:
        shown["Replay / recording"] = f"{summary.ratio:.2f}<small>of the time, median</small>"
    alarm = {"Diverged"} if total.diverged else set[str]()
    return "".join(
        f"<div{' class=alarm' if name in alarm else ''}><dt>{name}</dt><dd>{value}</dd></div>"
        for name, value in shown.items()
    )


def _cells(summary: Summary) -> str:
    names = ("Cell", "Identical", "Diverged", "Undetermined", "Rate", "")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = [
        (_cell_name(cell.runtime, cell.scenario, cell.concurrency), tally) for cell, tally in summary.cells
    ]
    if len(rows) > 1:
        rows.append(("all", summary.total))
    body = "".join(f'<tr><th scope="row">{escape(name)}</th>{_tally(tally)}</tr>' for name, tally in rows)
    return f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"


def _cell_name(runtime: str, scenario: str, concurrency: int) -> str:
    return ", ".join(part for part in (runtime, scenario, f"concurrency {concurrency}") if part)


def _tally(tally: TrialCounts) -> str:
    counts = "".join(f"<td>{count}</td>" for count in (tally.identical, tally.diverged, tally.undetermined))
    if not tally.identical + tally.diverged:
        return f"{counts}<td>not known</td><td></td>"
    low, high = tally.rate
    bar = f'<rect class="range" x="{low * 160:.1f}" width="{max(high - low, 0.01) * 160:.1f}" height="14"/>'
    background = '<rect class="all" width="160" height="14"/>'
    drawn = f'<svg class="rate" viewBox="0 0 160 14" aria-hidden="true">{background}{bar}</svg>'
    return f"{counts}<td>{low:.1%} to {high:.1%}</td><td>{drawn}</td>"


def _causes(kinds: Sequence[FailureKind]) -> str:
    if not kinds:
        return ""
    told = "".join(map(_cause, kinds))
    return (
        '<section id="causes" aria-labelledby="causes-title"><div class="section-head">'
        f'<h2 id="causes-title">Causes</h2></div><div class="causes">{told}</div></section>'
    )


def _cause(kind: FailureKind) -> str:
    what, first, why = map(escape, (kind.what, kind.headline, kind.why))
    fault = f'<span class="fault" data-fault="{escape(kind.fault)}">{escape(kind.fault)}</span>'
    where = f"<span>in {kind.count} trials: {escape(_some(kind.trials))}</span>"
    told = {"first": first, "why": why} if why else {"first": first}
    rows = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in told.items())
    top = f'<div class="cause-top">{fault}{where}</div>'
    return f'<article class="cause">{top}<h2>{what}</h2><dl>{rows}</dl></article>'


def _failures(summary: Summary, reports: Collection[str]) -> str:
    if not summary.failures:
        return ""
    failed = summary.total.diverged + summary.total.undetermined
    shown = len(summary.failures)
    more = f"<p>The first {shown} of {failed}; trials.jsonl has all.</p>" if failed > shown else ""
    told = "".join(
        f'<article class="panel hunt-trial"><h3>{_link(one, reports)} <span class="fault">'
        f"{escape(one.result.judgement.value)}</span></h3><p>{escape(one.result.message)}</p>"
        f"<pre><code>{escape(one.result.command)}</code></pre></article>"
        for one in summary.failures
    )
    return (
        '<section id="failures" aria-labelledby="failures-title"><div class="section-head">'
        f'<h2 id="failures-title">Failing trials</h2></div>{more}{told}</section>'
    )


def _link(failure: FailedTrial, reports: Collection[str]) -> str:
    name = escape(failure.trial.name)
    if failure.trial.name not in reports:
        return name
    return f'<a href="trials/{name}/run/report.html">{name}</a>'


def _some(names: Sequence[str], shown: int = 10) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
