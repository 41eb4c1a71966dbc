"""A Markdown summary of a verdict, for a CI system's job page."""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING, Any

from loadgen.report.causes import capital, causes, telling
from loadgen.report.evidence import divergences
from loadgen.report.story import tell

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.report.causes import Told
    from loadgen.report.evidence import Verification
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

LISTED = 10
"""Divergences that are listed."""
CAUSES = 5
"""Causes that are told; the rest is counted."""
QUOTED = 80
_SIGN = {"identical": "✅", "diverged": "❌"}


def summary(run: RunFolder, manifest: Manifest, verification: Verification, masker: Masker) -> str:
    """Return what a job page should say about *verification*."""
    verdict = verification.verdict or {}
    story = tell(manifest, verification, verdict.get("requests") or 0, masker)
    users, target = manifest.concurrency, _text(manifest.spec.target_name)
    lines = [
        f"## {_SIGN.get(story.tone, '⚠️')} {story.title}: {target}, {users} at a time",
        "",
        _text(masker.text(story.lead)),
        "",
        *_facts(verdict),
        *_replays(verdict),
    ]
    for reason in story.reasons[:LISTED]:
        lines += [f"**{_text(reason['fault'])}**: {_text(masker.text(reason['message']))}", ""]
        lines += [_text(masker.text(reason["advice"])), ""] if reason["advice"] else []
    lines += _causes(causes(verdict, masker))
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


def _replays(verdict: dict[str, Any]) -> list[str]:
    replays = verdict.get("replays") or []
    diverged = sum(one["verdict"] == "diverged" for one in replays)
    return [f"Replayed {len(replays)} times: {diverged} diverged.", ""] if len(replays) > 1 else []


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


def _causes(told: list[Told]) -> list[str]:
    lines = []
    for cause in told[:CAUSES]:
        request = f"{_code(cause.request)} " if cause.request else ""
        many = f"{cause.count:,} request{'' if cause.count == 1 else 's'}"
        what = f"{request}{_text(capital(cause.what))} ({many})"
        where = [f"   - Where: {_code(cause.where)}"] if cause.where else []
        lines += [
            f"{cause.number}. **At fault: {_text(cause.fault)}.** {what}",
            *where,
            f"   - Why: {_text(cause.why)}",
            f"   - Next: {_text(cause.advice)}",
        ]
    if len(told) > CAUSES:
        lines += ["", f"… and {len(told) - CAUSES:,} more causes."]
    return ["### Causes", "", *lines, ""] if lines else []


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
