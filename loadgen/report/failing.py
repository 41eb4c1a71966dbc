"""A warning if most requests failed, because such a comparison is rarely intended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadgen.store.manifest import Totals

ERROR = 400


def failing(totals: Totals | None, *, is_builtin: bool) -> str:
    """Return a warning if more than half of the requests failed.

    *is_builtin*: the requests came from one of loadgen's own scenarios.
    """
    if totals is None or not totals.requests:
        return ""
    errors = {status: count for status, count in totals.statuses.items() if status >= ERROR}
    failed = sum(errors.values()) + totals.failures
    if failed * 2 <= totals.requests:
        return ""
    kinds = [f"{status}: {count}" for status, count in errors.items()]
    kinds += [f"no answer: {totals.failures}"] if totals.failures else []
    told = (
        f"{failed} of {totals.requests} requests failed ({', '.join(kinds)}): is this your server's traffic?"
    )
    if is_builtin:
        told += (
            " The built-in scenarios are made for the bundled server; bring your own with --scenario file.py "
            "or --from file."
        )
    return told
