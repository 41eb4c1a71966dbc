"""A suite's results as a JUnit file, a Markdown summary, and an HTML index. Pure.

Each row has the same text in all of them; quoted values have gone through the masker of their run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from loadgen.core.verdict import Judgement, worst
from loadgen.report import junit, wording
from loadgen.report.markdown import plain, sign
from loadgen.report.page import asset, fill, icon, policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.masking import Masker
    from loadgen.suite import SuiteRow

STYLES = ("page.css", "hunt.css")
CAUSES = 5
"""Number of causes listed for each run; the rest is counted."""


@dataclass(frozen=True, slots=True)
class RowTold:
    """A row of a suite, in words."""

    label: str
    path: str
    judgement: Judgement
    target: str
    tags: tuple[str, ...]
    requests: int | None
    seconds: float | None
    what: str
    """The result, in a sentence or two."""
    causes: tuple[wording.Told, ...]
    details: tuple[str, ...]
    """Causes and reasons, as lines."""


def told(row: SuiteRow, masker: Masker) -> RowTold:
    """Return *row* in words."""
    verdict = row.verified.verdict if row.verified else None
    manifest = row.run.manifest
    causes = tuple(wording.causes(verdict, masker)) if verdict else ()
    reasons = [wording.reason(one, masker) for one in row.reasons]
    what = wording.lead(verdict, masker) if verdict else ""
    if reasons:
        what = f"{wording.capital(reasons[0][0])}: {reasons[0][1]}"
    details = [line for one in reasons for line in (f"{one[0]}: {one[1]}", f"  {one[2]}") if line.strip()]
    return RowTold(
        label=row.run.label,
        path=str(row.run.path),
        judgement=row.judgement,
        target=manifest.spec.target_name if manifest else "",
        tags=manifest.spec.label.tags if manifest else (),
        requests=verdict.requests if verdict else manifest.requests if manifest else None,
        seconds=verdict.facts.seconds.replay if verdict and verdict.facts.seconds else None,
        what=what,
        causes=causes,
        details=(*details, *junit.cause_lines(causes, str(row.run.path))),
    )


def headline(rows: Sequence[RowTold]) -> str:
    """Count the verdicts, in a sentence."""
    counts = Counter(row.judgement for row in rows)
    parts = [f"{counts[one]} {one.value}" for one in Judgement if counts[one]]
    return f"{wording.count(len(rows), 'run')}: {', '.join(parts)}."


def to_junit(rows: Sequence[RowTold], name: str) -> bytes:
    """Return a test case for each run, and for each cause in it."""
    suite = ET.Element("testsuite", name=f"loadgen verify {junit.clean(name)}")
    for row in rows:
        case = junit.add_case(suite, "runs", row.label, str(row.seconds or 0))
        if row.judgement is Judgement.DIVERGED:
            junit.add_result(case, "failure", row.what, "\n".join(row.details))
        elif row.judgement is Judgement.UNDETERMINED:
            junit.add_result(case, "error", row.what, "\n".join(row.details))
        for cause in row.causes:
            one = junit.add_case(suite, "causes", f"{row.label}: {cause.request}")
            junit.add_result(
                one, "failure", wording.capital(cause.what), "\n".join(junit.cause_lines([cause], row.path))
            )
    return junit.document(suite)


def to_markdown(rows: Sequence[RowTold], again: str) -> str:
    """Return the summary for a job page."""
    tone = worst(rows, lambda row: row.judgement).judgement.value
    lines = [
        f"## {sign(tone)} {headline(rows)}",
        "",
        "| run | verdict | requests | replayed in | what was found |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for row in rows:
        took = "—" if row.seconds is None else f"{row.seconds:.2f} s"
        count = "—" if row.requests is None else f"{row.requests:,}"
        verdict = f"{sign(row.judgement.value)} {row.judgement.value}"
        lines.append(f"| {plain(row.label)} | {verdict} | {count} | {took} | {plain(row.what)} |")
    lines.append("")
    for row in rows:
        for cause in row.causes[:CAUSES]:
            what = f"{plain(cause.request)}: {plain(wording.capital(cause.what))} {plain(cause.why)}"
            lines.append(f"- **{plain(row.label)}, at fault: {plain(cause.label)}.** {what}")
        if len(row.causes) > CAUSES:
            lines.append(f"- {plain(row.label)}: {len(row.causes) - CAUSES} more causes.")
    return "\n".join([*lines, "", f"Again: <code>{escape(again)}</code>", ""])


def to_html(
    rows: Sequence[RowTold], reports: dict[str, str], name: str, again: str, *, version: str
) -> bytes:
    """Return the index page; *reports* has the address of the report of each run, by label."""
    style = "\n".join(map(asset, STYLES))
    tone = worst(rows, lambda row: row.judgement).judgement.value
    counts = Counter(row.judgement for row in rows)
    facts = {"Runs": len(rows), **{one.value.capitalize(): counts[one] for one in Judgement}}
    bad = [row for row in rows if row.judgement is not Judgement.IDENTICAL]
    parts = {
        "policy": policy(style),
        "title": escape(f"{tone.capitalize()} · {name}"),
        "icon": icon(tone),
        "style": style,
        "tone": tone,
        "kicker": escape(f"suite {name}"),
        "headline": tone.capitalize(),
        "lead": escape(headline(rows)),
        "facts": "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items()),
        "rows": _rows(rows, reports),
        "failures": "".join(_failure(row) for row in bad),
        "command": escape(again),
        "version": escape(version),
    }
    return fill("suite.html", parts)


def _rows(rows: Sequence[RowTold], reports: dict[str, str]) -> str:
    names = ("Run", "Verdict", "Target", "Tags", "Requests", "Replayed in")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = []
    for row in rows:
        label = escape(row.label)
        if row.label in reports:
            label = f'<a href="{escape(reports[row.label])}">{label}</a>'
        cells = (
            row.judgement.value,
            row.target,
            ", ".join(row.tags),
            "" if row.requests is None else f"{row.requests:,}",
            "" if row.seconds is None else f"{row.seconds:.2f} s",
        )
        body.append(
            f'<tr><th scope="row">{label}</th>{"".join(f"<td>{escape(one)}</td>" for one in cells)}</tr>'
        )
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"


def _failure(row: RowTold) -> str:
    details = escape("\n".join(row.details))
    return (
        f'<article class="panel hunt-trial"><h3>{escape(row.label)} <span class="fault">'
        f"{escape(row.judgement.value)}</span></h3><p>{escape(row.what)}</p>"
        f"<pre><code>{details}</code></pre></article>"
    )
