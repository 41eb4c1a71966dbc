"""JUnit XML of a verdict, which CI systems show as tests.

Three tests say what was asked: can it be judged, is every answer the same, is the server's order. Of changed
code a fourth says whether its effects are the same, and shows the calls that differ.
The failure of the second names the causes. Each request that diverged is a further, failed test, so that it
is listed by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from loadgen.core.verdict import Judgement
from loadgen.protocol import ANOTHER_EFFECT
from loadgen.report import wording
from loadgen.report.asked import call_diff, diff_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.masking import Masker
    from loadgen.core.verdict import Divergence, Verdict
    from loadgen.report.wording import Told
    from loadgen.store.manifest import Manifest
    from loadgen.store.verification import Verification

LISTED = 100
"""Number of diverging requests that become tests."""
CAUSES = 5
"""Number of causes that are described; the rest is counted."""
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(manifest: Manifest, verification: Verification, masker: Masker) -> bytes:
    """Return the result of *verification* as JUnit XML."""
    verdict = verification.verdict
    took = str(verdict.facts.seconds.replay if verdict and verdict.facts.seconds else 0)
    suite = ET.Element("testsuite", name=f"loadgen verify {clean(manifest.id)}", time=took)
    suite.set("timestamp", manifest.created)
    evidence = add_case(suite, "evidence", "the replay can be judged", took)
    answers = add_case(suite, "answers", "every answer is the same")
    steps = add_case(suite, "order", "the server's order is the same")
    if verdict is not None and verdict.facts.asked is not None:
        _calls(add_case(suite, "calls", "every effect is the same"), verdict, masker)
    if verdict is None:
        add_result(evidence, "error", verification.problem)
        for case in (answers, steps):
            add_result(case, "skipped", "it was not compared")
    else:
        _judged(verdict, evidence, answers, steps, masker, str(verification.path.parent.parent))
        _requests(suite, verdict, masker)
    return document(suite)


def document(suite: ET.Element) -> bytes:
    """Return the file that has *suite*, with its tests counted."""
    for kind in ("tests", "failures", "errors", "skipped"):
        tag = {"tests": "testcase", "failures": "failure", "errors": "error"}.get(kind, kind)
        suite.set(kind, str(len(list(suite.iter(tag)))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _judged(
    verdict: Verdict,
    evidence: ET.Element,
    answers: ET.Element,
    steps: ET.Element,
    masker: Masker,
    run: str,
) -> None:
    if verdict.judgement is Judgement.UNDETERMINED:
        reasons = [": ".join(wording.reason(one, masker)[:2]) for one in verdict.reasons]
        add_result(evidence, "error", reasons[0], "\n".join(reasons[:LISTED]))
    if verdict.diverged:
        fault = f"{wording.capital(text)}." if (text := wording.at_fault(verdict)) else ""
        message = f"{wording.lead(verdict, masker)} {fault}".rstrip()
        add_result(answers, "failure", message, "\n".join(cause_lines(wording.causes(verdict, masker), run)))
    elif verdict.judgement is not Judgement.IDENTICAL and verdict.compared != verdict.requests:
        add_result(answers, "skipped", wording.lead(verdict, masker))
    if verdict.order_steps is None:
        add_result(steps, "skipped", f"server's order: {wording.order(verdict)}")
    elif verdict.order is not None:
        add_result(steps, "failure", f"server's order: {wording.order(verdict)}", wording.first_step(verdict))


def _calls(case: ET.Element, verdict: Verdict, masker: Masker) -> None:
    """Tell what changed code asks otherwise; an effect that is another one fails."""
    other = [
        wording.line(difference, masker)
        for one in verdict.divergences
        for difference in one.differences
        if difference.field == "calls"
    ]
    if other:
        add_result(case, "failure", other[0], "\n".join(other[:LISTED]))
    diff = [line for one in call_diff(verdict, masker) for line in (one.title, *diff_lines(one, LISTED))]
    told = [wording.capital(wording.calls(verdict)), *wording.altered(verdict, masker), *diff]
    ET.SubElement(case, "system-out").text = clean("\n".join(told))


def _requests(suite: ET.Element, verdict: Verdict, masker: Masker) -> None:
    for one in verdict.divergences[:LISTED]:
        case = add_case(suite, "divergence", f"request {one.seq} {one.method} {masker.target(one.target)}")
        calls = [f"  {masker.text(call)}" for call in one.stack]
        where = "where" if one.code == ANOTHER_EFFECT else "where it left the tape"
        left = [f"{where}, innermost call first:", *calls] if calls else []
        differences = _differences(one, masker)
        add_result(case, "failure", differences[0], "\n".join(differences + left))


def cause_lines(told: Sequence[Told], run: str) -> list[str]:
    """Return the first causes, as lines, with commands for the folder *run*."""
    lines = []
    for cause in told[:CAUSES]:
        lines += [
            f"cause {cause.number} of {len(told)}, at fault: {cause.label}",
            f"  {cause.request}",
            f"  {wording.capital(cause.what)}",
            *([f"  where: {cause.where}"] if cause.where else []),
            f"  why: {cause.why}",
            f"  next: {cause.advice}",
            *([f"  debug: {command}"] if (command := wording.debug(cause, run)) else []),
            f"  requests: {cause.count}",
            *([f"  also: {cause.others}"] if cause.others else []),
        ]
    return [*lines, *([f"and {len(told) - CAUSES} more"] if len(told) > CAUSES else [])]


def _differences(one: Divergence, masker: Masker) -> list[str]:
    """Return the differences as lines, the most telling first."""
    return [wording.line(difference, masker) for difference in sorted(one.differences, key=wording.rank)]


def add_case(suite: ET.Element, group: str, name: str, seconds: str = "0") -> ET.Element:
    """Add a test to *suite*."""
    return ET.SubElement(suite, "testcase", classname=f"loadgen.{group}", name=clean(name), time=seconds)


def add_result(case: ET.Element, kind: str, message: str, text: str = "") -> None:
    """Say of the test *case* that it failed, or why it says nothing."""
    ET.SubElement(case, kind, message=clean(message)).text = clean(text) or None


def clean(text: str) -> str:
    """Return *text* without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
