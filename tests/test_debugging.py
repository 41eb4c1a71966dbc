"""Which runs can be debugged is known before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen import debugging
from loadgen.core.spec import ModeName, RecordTopology, RunSpec, Runtime
from loadgen.engine import interpreter
from loadgen.errors import LoadgenError, MachineFault, RecordingFault, UsageError
from loadgen.store.manifest import Manifest, State
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path, manifest: Manifest, seq: int | None = None) -> LoadgenError:
    """Return why a run is refused."""
    with pytest.raises(LoadgenError) as caught:
        debugging.check(RunFolder(path), manifest, seq)
    assert caught.value.advice
    return caught.value


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(mode=ModeName.PROCESS),
        RunSpec(topology=RecordTopology(runtime=Runtime.DOCKER)),
        RunSpec(engine_alone=True),
    ],
)
def test_a_run_without_our_boundary_on_this_machine_is_refused(tmp_path: Path, spec: RunSpec) -> None:
    """Whole processes, containers and the engine alone have no boundary here that could follow a request."""
    assert isinstance(refusal(tmp_path, Manifest(id="r", created="", spec=spec)), UsageError)


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    """A recording is code: one that is missing or incomplete is never started."""
    manifest = Manifest(id="r", created="", spec=RunSpec())
    assert isinstance(refusal(tmp_path, manifest), RecordingFault)
    manifest.result.state = State.COMPLETE
    assert isinstance(refusal(tmp_path, manifest), RecordingFault)


@pytest.mark.parametrize("seq", [-1, 0, 401])
def test_a_request_that_does_not_exist_is_refused(
    tmp_path: Path, seq: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has 400 requests, numbered from 1; the refusal says so."""
    monkeypatch.setattr(RunFolder, "check_recording", lambda *_: None)
    monkeypatch.setattr(Manifest, "requests", 400)
    refused = refusal(tmp_path, Manifest(id="r", created="", spec=RunSpec()), seq)
    assert isinstance(refused, UsageError)
    assert "has 400" in refused.message
    debugging.check(RunFolder(tmp_path), Manifest(id="r", created="", spec=RunSpec()), 400)


def test_a_missing_debugpy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--dap`` says what to install, before a replay is started."""
    monkeypatch.setattr(debugging, "DEBUGPY", "no_such_debugger")
    with pytest.raises(MachineFault, match="installed neither") as caught:
        debugging.debugpy_folder(interpreter.own())
    assert "pip install" in caught.value.advice
