"""The page: one HTML file with its style, script and data, which needs no network.

A Content-Security-Policy permits only this style and this script, by hash. Recorded bytes are compressed
base64 data and never become markup. The headline is markup, so it can be read without the script.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from dataclasses import asdict, fields
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from loadgen.core.option import shell
from loadgen.errors import RecordingFault
from loadgen.protocol import ANOTHER_EFFECT
from loadgen.report import wording
from loadgen.report.asked import call_diff, call_row
from loadgen.report.figures import histogram, percentiles, rate
from loadgen.report.story import broken, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.core.masking import Masker
    from loadgen.core.verdict import Divergence, Verdict
    from loadgen.report.evidence import Evidence
    from loadgen.report.story import RunStory
    from loadgen.report.wording import Told

STYLES = ("vendor/uPlot.min.css", "page.css")
SCRIPTS = (
    "vendor/uPlot.iife.min.js", "data.js", "diff.js", "exchange.js", "causes.js", "divergences.js",
    "calls.js", "lanes.js", "timeline.js", "timeline_paint.js", "timeline_input.js", "charts.js",
    "requests.js", "main.js",
)  # fmt: skip
COLOURS = {"identical": "1d7250", "diverged": "b3213f", "failed": "b3213f", "undetermined": "865c00"}
"""Colours of the icon in a browser's tab."""
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render(evidence: Evidence, masker: Masker, *, version: str) -> bytes:
    """Return the report on *evidence* as a UTF-8 HTML file."""
    story = tell(evidence.manifest, evidence.verification, len(evidence.recorded.sent), masker)
    story = broken(story, evidence.broken)
    content = model(evidence, story, masker, version=version)
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise RecordingFault(f"{evidence.path / 'run.json'} contains an invalid number: {error}") from error
    packed = gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)
    style = "\n".join(asset(name) for name in STYLES)
    script = "\n".join(asset(name) for name in SCRIPTS)
    parts = {
        "policy": policy(style, script),
        "title": escape(f"{story.title} · {evidence.manifest.id}"),
        "icon": icon(story.tone),
        "style": style,
        "tone": story.tone,
        "kicker": escape(masker.text(_kicker(evidence))),
        "headline": escape(story.title),
        "lead": escape(masker.text(story.lead)),
        "data": base64.b64encode(packed).decode(),
        "script": script,
    }
    return fill("page.html", parts)


def model(evidence: Evidence, story: RunStory, masker: Masker, *, version: str) -> dict[str, Any]:
    """Return the page's data."""
    verification = evidence.verification
    verdict = verification.verdict if verification else None
    sides = [side for side in (evidence.recorded, evidence.replayed) if side is not None]
    latencies = [side.latencies() for side in sides]
    manifest = evidence.manifest
    spec, result = manifest.spec, manifest.result
    there = str(evidence.path)
    reasons = [{**asdict(one), "fault": wording.fault(one.fault)} for one in story.reasons]
    return {
        "loadgen": version,
        "story": masker.within({"tone": story.tone, "reasons": reasons}),
        "run": masker.within(
            {
                "id": manifest.id,
                "name": spec.label.name,
                "note": spec.label.note,
                "tags": ", ".join(spec.label.tags),
                "path": there,
                "state": result.state,
                "created": manifest.created,
                "target": spec.target_name,
                "scenario": spec.traffic_name,
                "seed": spec.load.seed,
                "schedule": spec.threads,
                "concurrency": manifest.concurrency,
                "iterations": spec.load.iterations or 0,
                "load": to_builtins(spec.load.shape),
                "timeout": spec.load.timeout,
                "runtime": spec.runtime,
                "totals": manifest.to_json()["result"]["totals"] or {},
                "versions": result.versions,
                "files": result.files,
                "record": shlex.join(manifest.command),
                "verify": shell("verify", Path(there)),
                "debug": wording.debug_run(verdict, there) if verdict else "",
            }
        ),
        "verification": _verification(evidence, masker),
        "causes": [_cause(one, there, masker) for one in wording.causes(verdict, masker)] if verdict else [],
        "divergences": [_divergence(one, masker) for one in verdict.divergences] if verdict else [],
        "differ": evidence.differing(),
        "schedule": evidence.lanes,
        "notices": masker.within(evidence.notices),
        "logs": evidence.logs,
        "masking": {"rules": list(masker.rules.names), "masked": dict(masker.masked)},
        "figures": {
            "percentiles": [percentiles(one) for one in latencies],
            "corrected": percentiles(evidence.recorded.corrected()),
            "histogram": histogram(latencies),
            "rate": rate(sides),
        },
        **evidence.tables.data(),
        "sides": [side.columns() for side in sides],
    }


def _kicker(evidence: Evidence) -> str:
    manifest = evidence.manifest
    when = manifest.created.replace("T", " ").removesuffix("+00:00")
    parts = (manifest.spec.label.name, f"run {manifest.id}", manifest.spec.target_name)
    return " · ".join((*filter(None, parts), f"{when} UTC" if when != manifest.created else when))


def _verification(evidence: Evidence, masker: Masker) -> dict[str, Any] | None:
    found = evidence.verification
    if found is None:
        return None
    verdict = found.verdict.to_json() if found.verdict else {}
    if found.verdict:
        verdict["rules"] = [
            {"name": one.name, "why": one.why, "leaves_out": one.leaves_out} for one in found.verdict.rules
        ]
    keep = (
        "verdict", "requests", "compared", "diverged", "server_order", "client_order_same", "rules",
        "seconds", "database", "replays", "call_log", "engine_log",
    )  # fmt: skip
    return {
        "number": found.number,
        "of": found.of,
        "path": str(found.path),
        **{key: masker.within(verdict.get(key)) for key in keep},
        **_calls(found.verdict, masker),
    }


def _calls(verdict: Verdict | None, masker: Masker) -> dict[str, Any]:
    """Return the differing calls of changed code by route, and by request for those with details."""
    if verdict is None:
        return {"asked": "", "altered": [], "calls": [], "calls_of": {}}
    of: dict[str, list[dict[str, Any]]] = {}
    for one in verdict.calls:
        of.setdefault(str(one.seq), []).append(asdict(call_row(one, masker)))
    return {
        "asked": wording.calls(verdict),
        "altered": wording.altered(verdict, masker),
        "calls": [asdict(one) for one in call_diff(verdict, masker)],
        "calls_of": of,
    }


def _cause(one: Told, run: str, masker: Masker) -> dict[str, Any]:
    return {
        **{field.name: getattr(one, field.name) for field in fields(one)},
        "head": _divergence(one.head, masker),
        "debug": masker.text(wording.debug(one, run)),
    }


def _divergence(one: Divergence, masker: Masker) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "method": one.method,
        "target": masker.target(one.target),
        "left": one.left is not None and one.code != ANOTHER_EFFECT,
        "evidence": "" if one.code == ANOTHER_EFFECT else masker.text(one.evidence),
        "stack": [masker.text(call) for call in one.stack],
        "cause": 0 if one.cause is None else one.cause + 1,
        "follows": one.follows,
        "differences": [wording.sides(difference, masker) for difference in one.differences],
    }


def fill(template: str, parts: Mapping[str, str]) -> bytes:
    """Return the page made from *template* with its *parts*, after the head that all pages share."""
    page = _SLOT.sub(lambda slot: parts[slot[1]], asset("head.html") + asset(template))
    return page.encode("utf-8", "replace")


def policy(style: str, script: str = "") -> str:
    """Return the policy that permits only this *style* and this *script*."""
    scripts = f"'{_hash(script)}'" if script else "'none'"
    allowed = (f"script-src {scripts}", f"style-src '{_hash(style)}'", "img-src data:")
    return "; ".join(("default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"))


def asset(name: str) -> str:
    """Return the text of a file of the page."""
    return files("loadgen.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode()


def icon(tone: str) -> str:
    """Return the picture in a browser's tab."""
    disc = f"<circle cx='8' cy='8' r='7' fill='#{COLOURS.get(tone, '4d5b73')}'/>"
    disc = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{disc}</svg>"
    return f"data:image/svg+xml;base64,{base64.b64encode(disc.encode()).decode()}"
