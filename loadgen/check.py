"""Check: whether the answers of a run contradict its invariants. Needs only the run's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.client import model_file
from loadgen.core.history import operations
from loadgen.core.invariants import Checked, Conserved, Monotonic, Unique
from loadgen.core.model import Modelled
from loadgen.store.manifest import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.invariants import Invariant
    from loadgen.core.spec import InvariantSpec
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder


def invariants(spec: InvariantSpec) -> tuple[Invariant, ...]:
    """Return the invariants of *spec*.

    Raises:
        UsageError: its model cannot be read.
    """
    return (
        *map(Unique, spec.unique),
        *map(Monotonic, spec.monotonic),
        *map(Conserved, spec.conserved),
        *((Modelled(model_file.load(spec.model)),) if spec.model is not None else ()),
    )


def check(run: RunFolder, manifest: Manifest, held: Sequence[Invariant]) -> list[Checked]:
    """Return the result of each invariant; for an incomplete run, one that is not broken is undetermined.

    Raises:
        UsageError: a model has an error.
        TranscriptFault: the transcript is missing or damaged.
    """
    with run.read() as reader:
        history = operations(reader)
    found = [one.check(history) for one in held]
    if manifest.result.state is State.COMPLETE:
        return found
    why = f"the run is {manifest.result.state}, not complete"
    return [one if one.holds is False else Checked(one.invariant, holds=None, message=why) for one in found]
