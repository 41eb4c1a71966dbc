"""The entry point of a server's container: replaces itself by the server, recorded or replayed.

So the engine is process 1, receives the signals, and its exit code is the container's. The server gets the
same allow-listed environment as a local one, so variables of an image or a proxy configuration are not
recorded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from loadgen.containers import layout
from loadgen.core.spec import ModeName
from loadgen.engine import retrace
from loadgen.engine.target import packages, resolve
from loadgen.errors import RecordingFault
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.spec import RunSpec


def serve(spec: RunSpec) -> NoReturn:
    """Replace this process by the server of *spec*, recorded.

    Raises:
        UsageError: the server does not exist.
    """
    target = resolve(spec.target, spec.cwd)
    tape, tap = Path(layout.TAPE), Path(layout.TAP)
    for left in (tape, tap):
        left.unlink(missing_ok=True)  # by a failed session; the engine would append to it
    retrace.empty_recording(tape)
    given = {"DB_FILE": layout.DATABASE, **retrace.chosen(spec.server_env)}
    if spec.mode is ModeName.PROCESS:  # the load generator finds what the tap reports in the volume
        launcher, environment = retrace.PROCESS, retrace.process_environment(given)
        options = ["--bind", layout.LISTENING_AT, "--liveness", f"0.0.0.0:{layout.LIVENESS_PORT}"]
        os.dup2(os.open(tap, os.O_CREAT | os.O_WRONLY, 0o600), 1)
    else:
        launcher, environment = retrace.LAUNCHER, retrace.environment(given)
        options = _options("0.0.0.0", spec.health_path, target.folder, target.argv)  # noqa: S104 - of an internal network
        options += ["--schedule", spec.threads]
    options += ["--import-from", target.import_from]
    command = retrace.record_command(
        tape, target.argv, options, stacks=spec.stacks, launcher=launcher, server=target.python
    )
    os.chdir(target.cwd or ".")
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def serve_replay(path: Path | None) -> NoReturn:
    """Replace this process by the replay of the run at *path*, by default the latest one.

    Raises:
        RecordingFault: it must not be replayed here: another engine, a changed file, or a database.
    """
    run, manifest = RunFolder.open(path or Path(layout.HOME, "runs", "latest"))
    result = manifest.result
    retrace.check_versions(result.versions)
    run.check_recording(manifest)
    if Path(result.started.database).exists():
        raise RecordingFault(
            f"the recorded server's database {result.started.database} exists in this container"
        )
    started = result.started
    if started.argv[0].endswith(".py") and not Path(started.argv[0]).exists():
        raise RecordingFault(
            f"{started.argv[0]} is not in this container: its image is not the one that was recorded",
            advice="Replay with the TEST_IMAGE, APP and REQUIREMENTS of the recording, or record again.",
        )
    options = _options("127.0.0.1", manifest.spec.health_path, started.folder, started.argv)
    command = retrace.replay_command(run.recording.resolve(), options)
    start = retrace.recorded_start(run.recording)
    os.chdir(start.cwd)
    os.execve(command[0], command, start.environment)  # noqa: S606


def _options(host: str, health_path: str, folder: str, argv: Sequence[str]) -> list[str]:
    return [
        *("--bind", f"{host}:{layout.HTTP_PORT}", "--liveness", f"{host}:{layout.LIVENESS_PORT}"),
        *("--health-path", health_path, "--application", layout.APP if folder else ""),
        *(word for package in packages(argv) if folder for word in ("--package", package)),
    ]
