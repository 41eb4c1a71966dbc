"""Which kinds of replay a run has a recording for."""

from __future__ import annotations

import pytest

from loadgen.cli.where import Kind, RuntimeName, kind, place
from loadgen.errors import UsageError
from tests.store.test_run_folder import manifest

CAN = {
    Kind.SERVER: (Kind.SERVER,),
    Kind.PROCESS: (Kind.PROCESS,),
    Kind.CLIENT: (Kind.CLIENT, Kind.SERVER),
}


@pytest.mark.parametrize("recorded", Kind)
@pytest.mark.parametrize("wanted", Kind)
def test_a_replay_needs_its_recording(recorded: Kind, wanted: Kind) -> None:
    """A run is replayed as it was recorded; another way needs another recording, which is advised."""
    run = manifest(trace=str(recorded))
    assert kind(run, None) is recorded
    if wanted in CAN[recorded]:
        assert kind(run, wanted) is wanted
    else:
        with pytest.raises(UsageError) as refused:
            kind(run, wanted)
        assert f"--trace {wanted}" in refused.value.advice


@pytest.mark.parametrize("traced", [Kind.PROCESS, Kind.CLIENT])
@pytest.mark.parametrize(("runtime", "attach"), [(RuntimeName.DOCKER, None), (RuntimeName.LOCAL, "h:1")])
def test_they_are_traced_here(traced: Kind, runtime: RuntimeName, attach: str | None) -> None:
    """Containers have the request boundary only."""
    with pytest.raises(UsageError, match="not in containers"):
        place(runtime, attach, traced)
