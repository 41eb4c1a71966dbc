"""The manifest of a run, ``run.json``: what ran, with what, and what came of it. Format ``loadgen-run/2``.

It is sealed: what a verdict rests on, the digests of code above all, cannot be altered or lost unnoticed.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from loadgen.errors import RecordingFault
from loadgen.store import sealed

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "loadgen-run/2"
NAME = "run.json"
RECORDING, COMPLETE, FAILED, MASKED = "recording", "complete", "failed", "masked"
STATES = (RECORDING, COMPLETE, FAILED, MASKED)
"""A masked run is a copy without its secrets: it can be read, not verified."""


@dataclass(slots=True, kw_only=True)
class Manifest:
    """The content of ``run.json``."""

    format: str = FORMAT
    id: str
    state: str = RECORDING
    """One of :data:`STATES`."""
    created: str
    command: list[str] = field(default_factory=lambda: ["loadgen", *sys.argv[1:]])
    runtime: str
    target: str
    argv: list[str]
    python_path: str
    """Where the application's code is; empty for the bundled server."""
    cwd: str = ""
    """Directory that the server was started in, and is replayed in; empty: any."""
    server_env: list[str] = field(default_factory=list)
    """Names of the environment variables that the user gave the server; the recording has their values."""
    scenario: str
    seed: int
    concurrency: int
    iterations: int
    """Of each user; 0: as many as there was time for."""
    load: dict[str, float | None] = field(default_factory=dict)
    """The load's shape, see :class:`loadgen.core.pacing.Shape`; empty where all users started at once."""
    timeout: float
    health_path: str
    stacks: bool = False
    """Whether the engine recorded the stack of every call."""
    engine_alone: bool = False
    """Whether the engine's gaps were left open, as they then are in its replay."""
    schedule: str = "parallel"
    """How threads ran while recording: ``turns`` or ``parallel``; see :mod:`loadgen.traced.schedule`."""
    trace: str = "server"
    """What was recorded for replay: ``server``, at its request boundary; ``process``, the whole server;
    ``client``, the load generator, beside the server."""
    database: str
    """Where the server's database was while recording; it must not exist when the run is verified."""
    database_used: bool = True
    """Whether the server made one there."""
    versions: dict[str, str]
    image: str = ""
    """The image of its containers, where there were any."""
    sources: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the application's code, by its path; empty where that was not looked at."""
    client_sources: dict[str, str] = field(default_factory=dict)
    """The same of the scenario, where it is from a file, and of the requests that were played."""
    totals: dict[str, Any] = field(default_factory=dict)
    """Requests, failures, seconds, statuses, latency, iterations; with an arrival rate, also latency from
    when requests were due, and how many iterations waited for a user. Empty until the session has ended."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file; empty until the run is complete."""
    error: str = ""
    """Why the run failed."""


def write(path: Path, manifest: Manifest) -> None:
    """Write *manifest* to *path*, sealed, as a whole."""
    sealed.write(path, asdict(manifest))


def read(path: Path) -> Manifest:
    """Return the manifest at *path*.

    Raises:
        RecordingFault: it cannot be read, was made by another loadgen, or is damaged.
    """
    content = sealed.read(path, FORMAT)
    if wrong := _wrong(content):
        raise RecordingFault(f"{path} is damaged: {wrong}", advice="Record again: loadgen record")
    return Manifest(**content)


def _wrong(content: dict[str, Any]) -> str:
    """Say which field of *content* is not what a manifest's is; empty if none."""
    known = {one.name for one in fields(Manifest)}
    if unknown := sorted(content.keys() - known):
        return f"it has an unknown field, {unknown[0][:80]!r}"
    for name, kind in get_type_hints(Manifest).items():
        if name not in content:
            return f"{name} is missing"
        wanted = (int, float) if kind is float else get_origin(kind) or kind
        if not isinstance(content[name], wanted) or (isinstance(content[name], bool) and kind is not bool):
            return f"{name} is not of its type"
    if content["state"] not in STATES:
        return f"there is no state {content['state'][:80]!r}"
    return ""
