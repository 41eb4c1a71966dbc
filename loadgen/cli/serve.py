"""First process of a server's container: checks what it is to do, then becomes the server.

``python -m loadgen.cli.serve record|replay``. It replaces itself, so the engine is process 1, gets the
signals, and its exit code is the container's. The server gets the same allow-listed environment as a local
one: what an image or a proxy configuration brought in does not end up in the recording.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.containers import layout
from loadgen.engine import retrace
from loadgen.engine.target import resolve
from loadgen.errors import LoadgenError, RecordingFault
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadgen.engine.target import Target


def main(arguments: Sequence[str]) -> None:
    """Become the server that *arguments* name."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.cli.serve", description=__doc__)
    phase = parser.add_subparsers(dest="phase", required=True)
    recorded = phase.add_parser("record", help="run TARGET under the recording engine")
    recorded.add_argument("target", nargs="*", help="as for loadgen record")
    recorded.add_argument("--cwd", type=Path, help="as for loadgen record")
    recorded.add_argument("--server-env", action="append", default=[], help="as for loadgen record")
    recorded.add_argument("--health-path", default="/health")
    recorded.add_argument("--stacks", action="store_true")
    recorded.add_argument("--schedule", default="turns")
    replayed = phase.add_parser("replay", help="replay a recorded run")
    replayed.add_argument("run", nargs="?", type=Path, default=Path(layout.HOME, "runs", "latest"))
    options = parser.parse_args(arguments)
    try:
        if options.phase == "record":
            target = resolve(options.target, options.cwd)
            given = retrace.chosen(options.server_env)
            command, environment = record(
                target, given, options.health_path, stacks=options.stacks, schedule=options.schedule
            )
            os.chdir(target.cwd or ".")
        else:
            command, environment = replay(options.run)
    except LoadgenError as error:
        print(f"loadgen: {error.message}\n  {error.advice}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def record(
    target: Target, given: Mapping[str, str], health_path: str, *, stacks: bool, schedule: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and environment that record *target*, and make an empty recording."""
    tape = Path(layout.TAPE)
    tape.unlink(missing_ok=True)  # of a session that failed: the engine would append to it
    retrace.empty_recording(tape)
    options = _options("0.0.0.0", health_path, target.folder)  # noqa: S104 - of an internal network
    options += ("--import-from", target.import_from, "--schedule", schedule)
    command = retrace.record_command(tape, target.argv, options, stacks=stacks)
    return command, retrace.environment({"DB_FILE": layout.DATABASE, **given})


def replay(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line and environment that replay the run at *path*.

    Raises:
        RecordingFault: it must not be replayed here: another engine, a changed file, a database.
    """
    run, manifest = RunFolder.open(path)
    retrace.check_versions(manifest.versions)
    run.check_recording(manifest)
    if Path(manifest.database).exists():
        raise RecordingFault(f"the recorded server's database {manifest.database} exists in this container")
    options = _options("127.0.0.1", manifest.health_path, manifest.python_path)
    command = retrace.replay_command(run.recording.resolve(), options)
    start = retrace.recorded_start(run.recording)
    os.chdir(start.cwd)
    return command, start.environment


def _options(host: str, health_path: str, folder: str) -> list[str]:
    return [
        *("--bind", f"{host}:{layout.HTTP_PORT}", "--lifeline", f"{host}:{layout.LIFELINE_PORT}"),
        *("--health-path", health_path, "--application", layout.APP if folder else ""),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
