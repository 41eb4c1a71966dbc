"""The call diff: the calls of changed code compared with the recorded ones, by route. Pure.

Calls that differ only in numbers, as those of many requests of one route do, are one row: the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadgen.core.diagnosis import numberless
from loadgen.report import wording

if TYPE_CHECKING:
    from loadgen.core.masking import Masker
    from loadgen.core.verdict import CallDifference, Verdict


@dataclass(slots=True)
class CallRow:
    """A differing call, with the number of occurrences."""

    what: str
    """How it differs, such as ``read left out``."""
    recorded: str
    replayed: str
    where: str
    """The line that makes the call; empty if the running code does not."""
    seq: int
    """The first request with this difference; 0: before the application served."""
    times: int = 1


@dataclass(slots=True)
class RouteCalls:
    """The differing calls of one route."""

    title: str
    rows: list[CallRow] = field(default_factory=list)


def call_diff(verdict: Verdict, masker: Masker) -> list[RouteCalls]:
    """Return the differing calls by route, first routes that run a different number of statements."""
    routes = {one.name: one for one in verdict.facts.routes}
    rows: dict[str, dict[tuple[str, ...], CallRow]] = {name: {} for name in routes}
    for one in verdict.calls:
        key = (one.how, one.kind, numberless(one.recorded), numberless(one.replayed))
        row = rows.setdefault(one.route, {}).get(key)
        if row is None:
            row = rows[one.route][key] = call_row(one, masker)
        else:
            row.times += 1
    return [
        RouteCalls(wording.route(name, routes.get(name), masker), list(found.values()))
        for name, found in rows.items()
    ]


def call_row(one: CallDifference, masker: Masker) -> CallRow:
    """Return one differing call for display."""
    before, after = (wording.call(text, masker) for text in (one.recorded, one.replayed))
    return CallRow(wording.asked(one), before, after, masker.text(one.at), one.seq)


def diff_lines(one: RouteCalls, most: int) -> list[str]:
    """Return a route's calls as lines of a diff: minus for recorded calls, plus for current ones."""
    found = []
    for row in one.rows[:most]:
        told = f"  [{row.what}{wording.times(row.times)}]"
        if row.recorded and row.recorded != row.replayed:
            found.append(f"- {row.recorded}" + ("" if row.replayed else told))
        if row.replayed:
            sign = "~" if row.recorded == row.replayed else "+"
            found.append(f"{sign} {row.replayed}{told}")
    if len(one.rows) > most:
        found.append(f"  … and {wording.count(len(one.rows) - most, 'more call')}")
    return found
