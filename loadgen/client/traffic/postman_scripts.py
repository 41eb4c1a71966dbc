"""What Postman's scripts set variables to, as far as it can be read from them; nothing is run.

Understood are texts, values of an answer's JSON, its headers and cookies, by themselves or through variables
of the script. Anything else leaves a variable without a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.client.traffic.call import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.client.traffic.answers import Key

_NAME = r"[A-Za-z_$][\w$]*"
_VALUE = rf"""(?:
    (?P<json>pm\.response\.json\(\)|JSON\.parse\(\s*(?:responseBody|pm\.response\.text\(\))\s*\))
  | (?:pm\.response\.headers\.get|postman\.getResponseHeader)\(\s*["'](?P<header>[^"']+)["']\s*\)
  | pm\.cookies\.get\(\s*["'](?P<cookie>[^"']+)["']\s*\)
  | "(?P<double>[^"\\\n]*)" | '(?P<single>[^'\\\n]*)' | `(?P<template>[^`\\$]*)`
  | (?P<plain>-?\d+(?:\.\d+)?|true|false)\b
  | (?P<known>{_NAME})
  )(?P<path>(?:\??\.{_NAME}(?!\s*\()|\[\d+\]|\[["'][^"']+["']\])*)\s*"""
_SCOPES = r"(?:environment|collectionVariables|globals|variables)"
_SET = rf"(?:pm\.{_SCOPES}\.set|postman\.set(?:Environment|Global)Variable)"
_STEPS = tuple(
    re.compile(pattern, re.VERBOSE)
    for pattern in (
        rf"(?<![\w$.])(?P<lost>{_NAME})\s*=(?![=>])",  # to anything: what it was before is forgotten
        rf"(?<![\w$.])(?P<to>{_NAME})\s*=(?![=>])\s*{_VALUE}(?=[;,)}}\n]|//|$)",
        rf"\{{(?P<names>[\w$\s,:]*)\}}\s*=(?![=>])\s*{_VALUE}(?=[;,)}}\n]|//|$)",
        rf"{_SET}\(\s*[\"'](?P<sets>[^\"']+)[\"']\s*,\s*{_VALUE}\)",
    )
)
_KEY = re.compile(r"""\.([\w$]+)|\[(\d+)\]|\[["']([^"']+)["']\]""")


@dataclass(frozen=True, slots=True)
class Taken:
    """A value of an answer."""

    kind: str
    """The kind of its location; see :class:`loadgen.client.traffic.answers.Answer`."""
    path: Key


Value = str | Taken


def sets(script: str) -> Iterator[tuple[str, Value]]:
    """Yield the variables that *script* sets to something that is understood, in order."""
    known: dict[str, Value] = {}
    found = sorted((one for step in _STEPS for one in step.finditer(script)), key=lambda one: one.start())
    for one in found:
        groups = one.groupdict()
        if name := groups.get("lost"):
            known.pop(name, None)
            continue
        value = _value(groups, known)
        if name := groups.get("sets"):
            if value is not None and value != Taken("json", ()):
                yield name, value
        elif name := groups.get("to"):
            if value is not None:
                known[name] = value
        elif isinstance(value, Taken):
            for pair in groups["names"].split(","):
                key, _, renamed = (part.strip() for part in pair.partition(":"))
                known[renamed or key] = Taken(value.kind, (*value.path, key))


def _value(groups: dict[str, str | None], known: dict[str, Value]) -> Value | None:
    path = tuple(
        int(number) if number else name or quoted
        for name, number, quoted in _KEY.findall(groups["path"] or "")
    )
    if groups["json"]:
        return Taken("json", path)
    if groups["known"]:
        base = known.get(groups["known"])
        if isinstance(base, Taken) and base.kind == "json":
            return Taken("json", (*base.path, *path))
        return None if path else base
    if groups["header"] and not path:
        return Taken("header", (groups["header"].lower(),))
    if groups["cookie"] and not path:
        return Taken(COOKIE, (groups["cookie"],))
    texts = (groups[name] for name in ("double", "single", "template", "plain"))
    return next((text for text in texts if text is not None and not path), None)
