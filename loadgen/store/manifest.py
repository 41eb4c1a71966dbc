"""The manifest of a run, ``run.json``: what was to be recorded, with what, and what came of it.

Format ``loadgen-run/2``. It is sealed: what a verdict rests on, the digests of code above all, cannot be
altered or lost unnoticed. It is rewritten as its state changes, from ``recording`` to ``complete`` or
``failed``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec

from loadgen.core.events import Visit
from loadgen.core.spec import RunSpec
from loadgen.errors import LoadgenError, RecordingFault
from loadgen.store import sealed

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "loadgen-run/2"
NAME = "run.json"


class State(enum.StrEnum):
    """How far a run is."""

    RECORDING = "recording"
    """It is under way, or whoever recorded it was killed."""
    COMPLETE = "complete"
    FAILED = "failed"
    MASKED = "masked"
    """A copy for reading, without its secrets: it cannot be verified."""


class _Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of a manifest."""


class Started(_Part, kw_only=True):
    """How the server was started, in the terms of where it ran: this machine, or its container."""

    argv: tuple[str, ...] = ()
    """As after ``python``."""
    folder: str = ""
    """Where the application's code is; empty for the bundled server."""
    cwd: str = ""
    """Directory that it was started in, and is replayed in; empty: any."""
    database: str = ""
    """Where its database was; it must not exist when the run is verified."""


class Spread(_Part, kw_only=True):
    """How long some of the requests took, in milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Condition(_Part, kw_only=True):
    """A condition of ``--fail-if``, and what was measured."""

    text: str
    measured: str
    holds: bool
    """Whether it holds, which means that the run has failed."""


class Totals(_Part, kw_only=True):
    """The figures of a recorded session; latencies in milliseconds."""

    requests: int
    failures: int
    seconds: float
    """From the first event to the last."""
    statuses: dict[int, int]
    p50_ms: float
    """Percentiles of all requests; one without an answer counts with the time that it was waited for."""
    p99_ms: float
    iterations: int
    failed_iterations: int
    p90_ms: float | None = None
    p95_ms: float | None = None
    max_ms: float | None = None
    succeeded: Spread | None = None
    """Requests with an answer below 400, where some failed."""
    failed: Spread | None = None
    """Requests without an answer, or with an error."""
    conditions: tuple[Condition, ...] = ()
    corrected_p50_ms: float | None = None
    """With an arrival rate: latency from when requests were due."""
    corrected_p99_ms: float | None = None
    waited: int | None = None
    """With an arrival rate: how many iterations waited for a user."""
    longest_wait_ms: float | None = None
    visit: Visit | None = None
    """What came of the clients, where they came through the gateway."""


class Result(_Part, kw_only=True):
    """What came of a session; made where it ran, and carried from there whole."""

    state: State = State.RECORDING
    error: str = ""
    """Why it failed."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """What must be the same for a recording to be replayed."""
    started: Started = msgspec.field(default_factory=Started)
    database_used: bool = False
    """Whether the server made its database."""
    totals: Totals | None = None
    """None until the session has ended."""
    files: dict[str, str] = msgspec.field(default_factory=dict)
    """SHA-256 of each file; empty until the run is complete."""


class Manifest(_Part, kw_only=True):
    """The content of ``run.json``."""

    format: str = FORMAT
    id: str
    created: str
    command: tuple[str, ...] = ()
    """The command line that recorded it."""
    spec: RunSpec
    """All of it that was asked for; concurrency and iterations are what they came to."""
    image: str = ""
    """The image of its containers, where there were any."""
    sources: dict[str, str] = msgspec.field(default_factory=dict)
    """SHA-256 of each file of the application's code, by its path; empty where that was not looked at."""
    client_sources: dict[str, str] = msgspec.field(default_factory=dict)
    """The same of the scenario, where it is from a file, and of the requests that were played."""
    result: Result = msgspec.field(default_factory=Result)

    @property
    def concurrency(self) -> int:
        """How many virtual users there were."""
        assert self.spec.load.concurrency is not None
        return self.spec.load.concurrency

    @property
    def requests(self) -> int | None:
        """How many requests were recorded, if the session has ended."""
        return None if self.result.totals is None else self.result.totals.requests

    @property
    def seconds(self) -> float | None:
        """How long the session took, if it has ended."""
        return None if self.result.totals is None else self.result.totals.seconds

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return content

    @classmethod
    def from_json(cls, content: Any) -> Manifest:
        """Return the manifest that :meth:`to_json` gave *content* of.

        Raises:
            ValueError: it is not one; the message names the field.
        """
        return msgspec.convert(content, cls, str_keys=True)


def write(path: Path, manifest: Manifest) -> None:
    """Write *manifest* to *path*, sealed, as a whole."""
    sealed.write(path, manifest.to_json())


def read(path: Path) -> Manifest:
    """Return the manifest at *path*.

    Raises:
        RecordingFault: it cannot be read, was made by another loadgen, or is damaged.
    """
    content = sealed.read(path, FORMAT)
    try:
        manifest = Manifest.from_json(content)
    except (ValueError, LoadgenError) as error:
        raise RecordingFault(f"{path} is damaged: {error}", advice="Record again: loadgen record") from error
    if manifest.to_json() != content:
        raise RecordingFault(
            f"{path} is damaged: it does not say what loadgen writes", advice="Record again: loadgen record"
        )
    return manifest
