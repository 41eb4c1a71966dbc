"""A Markdown summary of a verdict, for a CI system's job page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from loadgen.core.option import shell
from loadgen.report import wording
from loadgen.report.asked import call_diff, diff_lines
from loadgen.report.story import tell

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.core.verdict import Divergence, Verdict
    from loadgen.report.wording import Told
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import Verification

LISTED = 10
"""Number of divergences that are listed."""
CAUSES = 5
"""Number of causes that are described; the rest is counted."""
QUOTED = 80
_SIGN = {"identical": "✅", "diverged": "❌"}


def summary(run: RunFolder, manifest: Manifest, verification: Verification, masker: Masker) -> str:
    """Return the summary of *verification* for a job page."""
    verdict = verification.verdict
    story = tell(manifest, verification, verdict.requests if verdict else 0, masker)
    users, target = manifest.concurrency, plain(manifest.spec.target_name)
    lines = [
        f"## {sign(story.tone)} {story.title}: {target}, {users} at a time",
        "",
        plain(masker.text(story.lead)),
        "",
    ]
    if verdict is not None:
        lines += [*_facts(verdict), *_replays(verdict)]
    for reason in story.reasons[:LISTED]:
        fault, message, advice = wording.reason(reason, masker)
        lines += [f"**{plain(fault)}**: {plain(message)}", ""]
        lines += [plain(advice), ""] if advice else []
    if verdict is not None:
        lines += _causes(wording.causes(verdict, masker), str(run.path))
        lines += _divergences(verdict, masker)
        lines += _calls(verdict, masker)
    again = shell("verify", run.path)
    lines += [
        f"Run {_code(manifest.id)}, verification {verification.number}. Again: <code>{escape(again)}</code>",
        "",
    ]
    return "\n".join(lines) + "\n"


def _divergences(verdict: Verdict, masker: Masker) -> list[str]:
    if not verdict.divergences:
        return []
    lines = ["| request | what differs | recorded | replayed |", "| --- | --- | --- | --- |"]
    lines += [_row(one, masker) for one in verdict.divergences[:LISTED]]
    if verdict.diverged > LISTED:
        lines += ["", f"… and {verdict.diverged - LISTED:,} more."]
    return [*lines, ""]


def _calls(verdict: Verdict, masker: Masker) -> list[str]:
    """Return the differing calls of changed code as a diff, and other changes."""
    around = [f"- {plain(one)}" for one in wording.altered(verdict, masker)]
    found = ["### Around the code", "", *around, ""] if around else []
    if not verdict.calls:
        return found
    groups, diff = call_diff(verdict, masker), list[str]()
    for one in groups[:LISTED]:
        diff += [f"@@ {one.title} @@", *diff_lines(one, LISTED)]
    if len(groups) > LISTED:
        diff.append(f"… and {wording.count(len(groups) - LISTED, 'more route')}")
    fenced = ["```diff", *(line.replace("`", "'") for line in diff), "```"]
    return [*found, "### Calls", "", f"{plain(wording.capital(wording.calls(verdict)))}.", "", *fenced, ""]


def _replays(verdict: Verdict) -> list[str]:
    how = wording.replays(verdict)
    return [f"{plain(wording.capital(how))}.", ""] if how else []


def _facts(verdict: Verdict) -> list[str]:
    seconds = verdict.facts.seconds
    compared = f"{verdict.answers_compared:,} of {verdict.answers:,}"
    both = (seconds.recording, seconds.replay) if seconds else (None, None)
    took = " | ".join(f"{one:.2f} s" if one else "—" for one in both)
    return [
        "| answers compared | differ | server order | recorded in | replayed in |",
        "| ---: | ---: | --- | ---: | ---: |",
        f"| {compared} | {verdict.diverged:,} | {plain(wording.order(verdict))} | {took} |",
        "",
    ]


def _causes(told: list[Told], run: str) -> list[str]:
    lines = []
    for cause in told[:CAUSES]:
        what = f"{_code(cause.request)} {plain(wording.capital(cause.what))}"
        many = wording.count(cause.count, "request")
        where = [f"   - Where: {_code(cause.where)}"] if cause.where else []
        lines += [
            f"{cause.number}. **At fault: {plain(cause.label)}.** {what} ({many})",
            *where,
            *([f"   - Also: {plain(cause.others)}"] if cause.others else []),
            f"   - Why: {plain(cause.why)}",
            f"   - Next: {plain(cause.advice)}",
            *(
                [f"   - Debug: <code>{escape(command)}</code>"]
                if (command := wording.debug(cause, run))
                else []
            ),
        ]
    if len(told) > CAUSES:
        lines += ["", f"… and {len(told) - CAUSES:,} more causes."]
    return ["### Causes", "", *lines, ""] if lines else []


def _row(one: Divergence, masker: Masker) -> str:
    field, *sides = wording.sides(wording.telling(one.differences), masker)
    more = f" (and {len(one.differences) - 1} more)" if len(one.differences) > 1 else ""
    request = f"{one.seq} {_code(f'{one.method} {masker.target(one.target)}')}"
    return f"| {request} | {_code(field)}{more} | {' | '.join(map(_code, sides))} |"


def _code(text: str) -> str:
    short = text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"
    return f"<code>{plain(short)}</code>"


def sign(tone: str) -> str:
    """Return the sign of a verdict."""
    return _SIGN.get(tone, "⚠️")


def plain(text: str) -> str:
    """Escape *text* for Markdown and HTML, also in a table."""
    escaped = escape(" ".join(text.split()), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "|`*_[]\\~#" else letter for letter in escaped)
