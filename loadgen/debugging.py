"""Debug: which runs can be debugged, and a place for the evidence of a replay that is not a verification."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.exchange import Request
from loadgen.core.option import shell
from loadgen.core.spec import ModeName, Runtime
from loadgen.engine import interpreter
from loadgen.engine.scratch import prefix
from loadgen.errors import MachineFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.engine.interpreter import Interpreter
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

DEBUGPY = "debugpy"


def check(run: RunFolder, manifest: Manifest, seq: int | None) -> None:
    """Refuse a run that cannot be debugged, or request *seq* if the run does not have it.

    Raises:
        UsageError: it has no request boundary, was recorded in containers, or does not have the request.
        LoadgenError: its recording is damaged.
    """
    spec = manifest.spec
    if spec.mode is ModeName.PROCESS:
        raise UsageError(
            f"{manifest.id} was recorded with --trace process, and no request can be sent to its replay",
            advice="docs/debugging.md has a recipe for the engine's own debug adapter.",
        )
    if spec.runtime is not Runtime.LOCAL:
        raise UsageError(
            f"{manifest.id} was recorded in containers, and can only be replayed there",
            advice="Record it on this machine to debug it: loadgen record",
        )
    if spec.engine_alone:
        raise UsageError(
            f"{manifest.id} was recorded by the engine alone, and the debugger needs loadgen's own replay",
            advice="Record again without --engine-alone.",
        )
    run.check_recording(manifest)
    count = manifest.requests or 0
    if seq is not None and not 1 <= seq <= count:
        raise UsageError(
            f"{manifest.id} has no request {seq}: it has {count}, which are numbered from 1",
            advice=f"They are listed by: {shell('report', run.path)}",
        )


def request(run: RunFolder, seq: int) -> Request:
    """Return request *seq* of the transcript.

    Raises:
        TranscriptFault: the transcript does not have it, or cannot be read.
    """
    with run.read() as events:
        for event in events:
            if isinstance(event, Request) and event.seq == seq:
                return event
    raise UsageError(f"the transcript {run.transcript} does not have request {seq}")


def debugpy_folder(python: Interpreter) -> str:
    """Return the folder from which *python*, which runs the server, can import debugpy.

    It is loadgen's own, if it is not installed there, and both are the same release of Python.

    Raises:
        MachineFault: it is not installed.
    """
    mine = interpreter.own()
    for one in (python, *([mine] if mine.release[:2] == python.release[:2] else [])):
        for folder in one.path:
            if (Path(folder) / DEBUGPY / "__init__.py").is_file():
                return folder
    raise MachineFault(
        f"--dap needs debugpy, which is installed neither beside loadgen nor in {python.name}",
        advice="Install it: pip install debugpy",
    )


@contextmanager
def evidence() -> Iterator[Path]:
    """Make a temporary folder for what a replay writes, which is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=prefix()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
