"""Jobs for worker processes, each one line of JSON; see :mod:`loadgen.worker`."""

from __future__ import annotations

import msgspec

from loadgen.core.spec import RunSpec, VerifySpec

ENTRY = "loadgen.worker"
"""The module that a worker process runs: ``python -m loadgen.worker JOB``."""
FORKING = "loadgen.warm"
"""The module that forks such processes; it receives :class:`Fork`."""
HEAD = 4
"""Number of bytes before each message to it: the message's length, most significant byte first."""


class _Job(msgspec.Struct, frozen=True, kw_only=True, tag_field="job", forbid_unknown_fields=True):
    """Base of all jobs."""


class Record(_Job, frozen=True, kw_only=True, tag="record"):
    """Record a run, as ``loadgen record`` does."""

    spec: RunSpec
    folder: str


class Verify(_Job, frozen=True, kw_only=True, tag="verify"):
    """Verify a run, as ``loadgen verify`` does."""

    spec: VerifySpec
    run: str
    at_once: int = 1
    """Number of replays at a time."""


class Fire(_Job, frozen=True, kw_only=True, tag="fire"):
    """Under the engine: send a session's requests to a running server."""

    spec: RunSpec
    url: str


class FirePart(_Job, frozen=True, kw_only=True, tag="fire_part"):
    """Send the requests of one part of a session's virtual users, and write them into its journal."""

    spec: RunSpec
    url: str
    run: str
    """Folder of the run."""
    part: int
    """Number of the part, from 0; there are as many as the specification has client processes."""
    numbers: int
    """Descriptor with the last number of a request; see :mod:`loadgen.store.numbers`."""
    began: float
    """When the journal was opened, by the clock of this machine."""


class Serve(_Job, frozen=True, kw_only=True, tag="serve"):
    """In a container: run the server to record."""

    spec: RunSpec


class ServeReplay(_Job, frozen=True, kw_only=True, tag="serve_replay"):
    """In a container: run the replay of a run's server."""

    run: str


class Drive(_Job, frozen=True, kw_only=True, tag="drive"):
    """In a container: record the server at an address."""

    spec: RunSpec
    folder: str | None = None
    address: str


class DriveReplay(_Job, frozen=True, kw_only=True, tag="drive_replay"):
    """In a container: verify the replayed server at an address, or replay here what needs no requests."""

    spec: VerifySpec
    run: str | None = None
    address: str | None
    """None: the replay needs no requests, and runs here."""
    log_calls: int | None = None
    """Replay once, and log the calls of this request."""


class Fork(msgspec.Struct, frozen=True):
    """A worker to fork."""

    job: str
    """Its job, as JSON."""
    directory: str | None
    """Where it runs; None: in the directory of the process that forks it."""


Job = Record | Verify | Fire | FirePart | Serve | ServeReplay | Drive | DriveReplay
