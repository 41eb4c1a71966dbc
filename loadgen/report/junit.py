"""JUnit XML of a verdict: what CI systems show as tests.

Three tests say what was asked: can it be judged, is every answer the same, is the server's order.
The failure of the second names the causes. Each request that diverged is a further, failed test, so that it
is listed by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from loadgen.report.causes import capital, causes, rank
from loadgen.report.evidence import divergences, stack

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.report.causes import Told
    from loadgen.store.manifest import Manifest

LISTED = 100
"""Diverging requests that become tests of their own."""
CAUSES = 5
"""Causes that are told; the rest is counted."""
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(manifest: Manifest, verdict: dict[str, Any], masker: Masker) -> bytes:
    """Return *verdict* as JUnit XML."""
    found = [(one, _differences(one, masker)) for one in divergences(verdict)][:LISTED]
    order = verdict.get("server_order") or {}
    seconds = str((verdict.get("seconds") or {}).get("replay") or 0)
    suite = ET.Element("testsuite", name=f"loadgen verify {_clean(manifest.id)}", time=seconds)
    suite.set("timestamp", manifest.created)

    evidence = _case(suite, "evidence", "the replay can be judged", seconds)
    if verdict.get("verdict") not in ("identical", "diverged"):
        reasons = [
            ": ".join(masker.text(str(reason.get(key) or "")) for key in ("fault", "message"))
            for reason in verdict.get("reasons") or []
        ] or ["it reached no verdict"]
        _add(evidence, "error", reasons[0], "\n".join(reasons[:LISTED]))

    answers = _case(suite, "answers", "every answer is the same")
    if diverged := verdict.get("diverged"):
        first = f"; the first: {found[0][1][0]}" if found and found[0][1] else ""
        told = causes(verdict, masker)
        first = f"; the first: {told[0].what}" if told else first
        faults = ", ".join(dict.fromkeys(cause.fault for cause in told))
        fault = f"; at fault: {faults}" if faults else ""
        message = f"{diverged} of {verdict.get('compared')} answers differ{fault}{first}"
        _add(answers, "failure", message, "\n".join(_causes(told)))
    elif verdict.get("verdict") != "identical" and verdict.get("compared") != verdict.get("requests"):
        _add(
            answers,
            "skipped",
            f"{verdict.get('compared')} of {verdict.get('requests')} answers were compared",
        )

    steps = _case(suite, "order", "the server's order is the same")
    if order.get("same") is False:
        taken = order.get("first_difference")
        how = "\n".join(_differences(taken, masker)) if taken else ""
        _add(steps, "failure", "the server took its steps in another order", how)
    elif order.get("same") is None:
        _add(steps, "skipped", "it was not compared")

    for one, differences in found:
        case = _case(
            suite, "divergence", f"request {one['seq']} {one['method']} {masker.target(one['target'])}"
        )
        calls = [f"  {masker.text(call)}" for call in stack(one)]
        left = ["where it left the tape, innermost call first:", *calls] if calls else []
        _add(case, "failure", differences[0] if differences else "it differs", "\n".join(differences + left))
    for kind in ("tests", "failures", "errors", "skipped"):
        tag = {"tests": "testcase", "failures": "failure", "errors": "error"}.get(kind, kind)
        suite.set(kind, str(len(list(suite.iter(tag)))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _causes(told: list[Told]) -> list[str]:
    lines = []
    for cause in told[:CAUSES]:
        lines += [
            f"cause {cause.number} of {len(told)}, at fault: {cause.fault}",
            f"  {cause.request}".rstrip(),
            f"  {capital(cause.what)}",
            *([f"  where: {cause.where}"] if cause.where else []),
            f"  why: {cause.why}",
            f"  next: {cause.advice}",
            f"  requests: {cause.count}",
        ]
    return [*lines, *([f"and {len(told) - CAUSES} more"] if len(told) > CAUSES else [])]


def _differences(one: dict[str, Any], masker: Masker) -> list[str]:
    return [
        f"{difference['field']}: recorded {masker.difference(difference['field'], difference['recorded'])}, "
        f"replayed {masker.difference(difference['field'], difference['replayed'])}"
        for difference in sorted(one["differences"], key=rank)  # what tells most comes first
    ]


def _case(suite: ET.Element, group: str, name: str, seconds: str = "0") -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"loadgen.{group}", name=_clean(name), time=seconds)


def _add(case: ET.Element, kind: str, message: str, text: str = "") -> None:
    ET.SubElement(case, kind, message=_clean(message)).text = _clean(text) or None


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
