"""The verifications of a run, read from its folder: ``verify/<number>/verdict.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.core.conclusion import counting_verification
from loadgen.core.verdict import FORMAT, Verdict
from loadgen.errors import LoadgenError, UsageError
from loadgen.store import sealed
from loadgen.store.files import numbered

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification of a run, read from its folder."""

    number: int
    of: int
    path: Path
    verdict: Verdict | None
    """None if there is no readable verdict."""
    problem: str = ""
    """Why there is no verdict."""


def verifications(run: Path) -> dict[int, Path]:
    """Return the folders of the verifications of the run folder *run*, by number."""
    parent = run / "verify"
    return {number: parent / str(number) for number in numbered(parent)}


def find_verification(run: Path, number: int | None = None) -> Verification | None:
    """Return verification *number* of the run folder *run*, by default the one that counts.

    ``None`` if the run was never verified.

    Raises:
        UsageError: there is no such verification.
    """
    folders = verifications(run)
    if number is None:
        number = counting_verification({one: read_verdict(path)[0] for one, path in folders.items()})
        if number is None:
            return None
    elif number not in folders:
        there = ", ".join(map(str, folders)) or "none"
        raise UsageError(f"{run} has no verification {number}", advice=f"Its verifications are: {there}.")
    verdict, problem = read_verdict(folders[number])
    return Verification(number, len(folders), folders[number], verdict, problem)


def read_verdict(folder: Path) -> tuple[Verdict | None, str]:
    """Return the verdict in the *folder* of a verification, or why there is none."""
    path = folder / "verdict.json"
    if not os.path.lexists(path):
        return None, "it was interrupted before it reached a verdict"
    try:
        return Verdict.from_json(sealed.read(path, FORMAT)), ""
    except LoadgenError as error:
        return None, error.message
    except (ValueError, RecursionError) as error:
        return None, f"its verdict.json cannot be used: {error}"
