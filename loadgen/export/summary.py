"""A Markdown summary of a verdict, for a CI system's job page."""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING, Any

from loadgen.report.evidence import divergences
from loadgen.report.story import tell, telling

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.report.evidence import Verification
    from loadgen.run_folder import Manifest, RunFolder

LISTED = 10
"""Divergences that are listed."""
QUOTED = 80
_SIGN = {"identical": "✅", "diverged": "❌"}


def summary(run: RunFolder, manifest: Manifest, verification: Verification, masker: Masker) -> str:
    """Return what a job page should say about *verification*."""
    verdict = verification.verdict or {}
    story = tell(manifest, verification, verdict.get("requests") or 0, masker)
    users = manifest.concurrency
    lines = [
        f"## {_SIGN.get(story.tone, '⚠️')} {story.title}: {_text(manifest.target)}, {users} at a time",
        "",
        _text(masker.text(story.lead)),
        "",
        *_facts(verdict),
    ]
    for reason in story.reasons[:LISTED]:
        lines += [f"**{_text(reason['fault'])}**: {_text(masker.text(reason['message']))}", ""]
        lines += [_text(masker.text(reason["advice"])), ""] if reason["advice"] else []
    if found := divergences(verdict):
        lines += ["| request | what differs | recorded | replayed |", "| --- | --- | --- | --- |"]
        lines += [_row(one, masker) for one in found[:LISTED] if one["differences"]]
        if (diverged := verdict.get("diverged") or 0) > LISTED:
            lines += ["", f"… and {diverged - LISTED:,} more."]
        lines.append("")
    again = shlex.join(["loadgen", "verify", str(run.path)])
    lines += [
        f"Run {_code(manifest.id)}, verification {verification.number}. Again: <code>{escape(again)}</code>",
        "",
    ]
    return "\n".join(lines) + "\n"


def _facts(verdict: dict[str, Any]) -> list[str]:
    if not verdict:
        return []
    order = verdict.get("server_order") or {}
    same = {"True": "same", "False": "**differs**"}.get(str(order.get("same")), "not compared")
    seconds = verdict.get("seconds") or {}
    compared = f"{verdict['compared']:,} of {verdict['requests']:,}"
    took = " | ".join(f"{seconds[key]:.2f} s" if seconds.get(key) else "—" for key in ("recording", "replay"))
    return [
        "| answers compared | differ | server order | recorded in | replayed in |",
        "| ---: | ---: | --- | ---: | ---: |",
        f"| {compared} | {verdict['diverged']:,} | {same} ({order.get('steps') or 0:,} steps) | {took} |",
        "",
    ]


def _row(one: dict[str, Any], masker: Masker) -> str:
    what = telling(one["differences"])
    sides = (masker.difference(what["field"], what[side]) for side in ("recorded", "replayed"))
    more = f" (and {len(one['differences']) - 1} more)" if len(one["differences"]) > 1 else ""
    request = f"{one['seq']} {_code(one['method'] + ' ' + masker.target(one['target']))}"
    return f"| {request} | {_code(what['field'])}{more} | {' | '.join(map(_code, sides))} |"


def _code(text: str) -> str:
    short = text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"
    return f"<code>{_text(short)}</code>"


def _text(text: str) -> str:
    """Escape *text* so that Markdown and HTML leave it as it is, in a table too."""
    plain = escape(" ".join(text.split()), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "|`*_[]\\~#" else letter for letter in plain)
