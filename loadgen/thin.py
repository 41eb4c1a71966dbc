"""Thin: replays the runs of a suite, and proposes which of them add nothing to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.core.exchange import Request, Response
from loadgen.core.settling import route
from loadgen.core.thinning import thin
from loadgen.core.verdict import Judgement
from loadgen.store.reach import read_reach
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from loadgen.core.reach import Reach
    from loadgen.core.thinning import Thinned
    from loadgen.suite import SuiteRow


def proposal(rows: Sequence[SuiteRow]) -> Thinned:
    """Propose which runs of a suite, verified with ``coverage``, add nothing; others are kept unseen."""
    known: dict[str, dict[int, frozenset[tuple[str, Hashable]]]] = {}
    unknown = {}
    for row in rows:
        reach = read_reach(row.verified.folder) if row.verified else None
        if row.judgement is not Judgement.IDENTICAL:
            unknown[row.run.label] = f"its verdict is {row.judgement}"
        elif reach is None:
            unknown[row.run.label] = "its replay did not report what it reached"
        else:
            known[row.run.label] = _features(RunFolder(row.run.path), reach)
    return thin(known, unknown)


def _features(run: RunFolder, reach: Reach) -> dict[int, frozenset[tuple[str, Hashable]]]:
    """Return what each request of *run* reached; request 0 is the start of the application."""
    routes: dict[int, str] = {}
    with run.read() as events:
        for event in events:
            if isinstance(event, Request):
                routes[event.seq] = route(event)
            elif isinstance(event, Response):
                routes[event.seq] = f"{routes[event.seq]} {event.status}"
    lines = [
        frozenset(("line", (file, line)) for file, found in one.items() for line in found)
        for one in reach.sets
    ]
    start = frozenset(("line", (file, line)) for file, found in reach.other.items() for line in found)
    found: dict[int, frozenset[tuple[str, Hashable]]] = {0: start}
    for seq, (at, _) in reach.requests.items():
        calls = (("call", kind) for kind in reach.kinds(seq))
        found[seq] = frozenset({*lines[at], *calls, ("route", routes.get(seq, ""))})
    return found
