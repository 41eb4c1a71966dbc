"""The entry point of all worker processes: every process that loadgen starts for itself.

``python -m loadgen.worker JOB`` does a job (:mod:`loadgen.core.jobs`), given as JSON, and emits events
(:mod:`loadgen.core.events`) on standard output, one per line. When its standard input closes, its parent has
exited, and it stops as on Ctrl-C.

``python -m loadgen.worker PART [OPTIONS]`` is for compose files, and prints text for people. The parts are
``serve`` and ``drive``, with the options of ``loadgen record``, and ``serve-replay``, ``drive-replay`` and
``replay-alone``, with those of ``loadgen verify``. An option without a value (``--client=``) is not given.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from loadgen.core.events import Failed, to_line
from loadgen.core.jobs import Drive, DriveReplay, Fire, FirePart, Job, Record, Serve, ServeReplay, Verify
from loadgen.core.spec import from_json
from loadgen.errors import LoadgenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.events import Emit, Event
    from loadgen.core.stop import Stop
    from loadgen.modes.base import Host
    from loadgen.record import Recorded
    from loadgen.verify import Verified

BUG = 70


def main(words: Sequence[str]) -> int:
    """Run the job or the part named by *words*; return the exit code."""
    if len(words) == 1 and words[0].startswith("{"):
        try:
            job: Job = from_json(words[0], Job)  # type: ignore[arg-type]
        except msgspec.ValidationError as error:
            print(f"loadgen.worker: this is not a job: {error}", file=sys.stderr)
            return BUG
        return do(job)
    from loadgen.cli.compose import part

    return part(words)


def do(job: Job) -> int:
    """Do *job*, and emit its events."""
    match job:
        case Fire(spec=spec, url=url):
            from loadgen.client.session_process import run

            run(spec, url)
            return 0
        case FirePart():
            from loadgen.client import session_part

            session_part.run(job)
            return 0
        case Serve() | ServeReplay():
            return become(job)
    return _emitting(job)


def become(job: Serve | ServeReplay) -> int:
    """Replace this process by a container's server; return the exit code if that fails."""
    from loadgen.containers.serve import serve, serve_replay

    try:
        if isinstance(job, Serve):
            serve(job.spec)
        serve_replay(Path(job.run))
    except LoadgenError as error:
        print(f"loadgen: {error.message}\n  {error.advice}", file=sys.stderr)
        return error.exit_code


def _emitting(job: Record | Verify | Drive | DriveReplay) -> int:
    from loadgen.cli.running import interruptible

    out, turn = sys.stdout.buffer, threading.Lock()

    def emit(event: Event) -> None:
        with turn:
            out.write(to_line(event) + b"\n")
            out.flush()

    threading.Thread(target=_stop_with_starter, name="liveness", daemon=True).start()
    try:
        with redirect_stdout(sys.stderr):  # output of a scenario is not an event
            if isinstance(job, Record | Drive):
                recorded = interruptible(lambda stop: _record(job, stop, emit))
                emit(recorded.end)
                return 130 if recorded.end.interrupted else 3 if recorded.end.failed else 0
            verified = interruptible(lambda _: _verify(job, emit), at_once=True)
            return verified.verdict.judgement.exit_code
    except LoadgenError as error:
        emit(Failed(kind=type(error).__name__, message=error.message, advice=error.advice))
        return error.exit_code


async def _record(job: Record | Drive, stop: Stop, emit: Emit) -> Recorded:
    from loadgen import dispatch

    folder = None if job.folder is None else Path(job.folder)
    return await dispatch.record(job.spec, folder, stop, emit, host=_host(job))


async def _verify(job: Verify | DriveReplay, emit: Emit) -> Verified:
    from loadgen import dispatch
    from loadgen.store.run_folder import RunFolder

    run, manifest = RunFolder.open(None if job.run is None else Path(job.run))
    if isinstance(job, DriveReplay):
        return await dispatch.once(run, manifest, job.spec, emit, host=_host(job))(log_calls=job.log_calls)
    return await dispatch.verify(run, manifest, job.spec, emit, at_once=job.at_once)


def _host(job: Job) -> Host | None:
    if not isinstance(job, Drive | DriveReplay):
        return None
    if job.address is None:
        from loadgen import dispatch

        return dispatch.here()
    from loadgen.containers.attached import AttachedHost

    return AttachedHost(job.address)


def _stop_with_starter() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
