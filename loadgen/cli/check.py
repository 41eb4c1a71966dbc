"""``loadgen check``: whether the answers of a run contradict its invariants."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.options import taking
from loadgen.core.spec import InvariantSpec
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.invariants import Checked

EXIT_BROKEN, EXIT_UNDETERMINED = 1, 3


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    made = taking(spec=InvariantSpec)(check)
    app.command(short_help="Check the answers of a run against invariants, or a model of the service.")(made)


def check(
    spec: InvariantSpec,
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run. Default: the latest one in runs/.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check whether the recorded answers contradict invariants, without replaying anything.

    Without options, it checks the invariants that the run was recorded with. Exit code 1: an invariant is
    broken; 3: an invariant could not be checked.
    """
    from loadgen.check import check as call
    from loadgen.check import invariants
    from loadgen.cli.output import say
    from loadgen.store.run_folder import RunFolder

    folder, manifest = RunFolder.open(run)
    held = invariants(manifest.spec.invariants if spec == InvariantSpec() else spec)
    if not held:
        raise UsageError(
            f"{folder.path} was recorded without invariants: there is nothing to check",
            advice="Give --unique, --monotonic, --conserved, or --model.",
        )
    found = call(folder, manifest, held)
    say(json.dumps([asdict(one) for one in found], indent=1) if as_json else _text(found))
    if any(one.holds is False for one in found):
        raise typer.Exit(EXIT_BROKEN)
    if any(one.holds is None for one in found):
        raise typer.Exit(EXIT_UNDETERMINED)


def _text(found: Sequence[Checked]) -> str:
    from loadgen.cli.show import word

    lines = []
    for one in found:
        lines.append(f"{word(one):<8} {one.invariant}: {one.message}")
        lines += [f"         {line}" for line in one.details]
    return "\n".join(lines)
