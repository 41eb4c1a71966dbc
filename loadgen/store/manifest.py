"""The manifest of a run, ``run.json``: its specification, its environment and its result.

Format ``loadgen-run/3``. A seal detects any change or loss of what verdicts depend on, above all the
digests of code. The file is rewritten as its state changes, from ``recording`` to ``complete`` or
``failed``.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from loadgen.core.events import Visit
from loadgen.core.spec import BUNDLED, RunSpec
from loadgen.errors import LoadgenError, RecordingFault
from loadgen.store import sealed

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "loadgen-run/3"
NAME = "run.json"


class State(enum.StrEnum):
    """The state of a run."""

    RECORDING = "recording"
    """In progress, or the recording process was killed."""
    COMPLETE = "complete"
    FAILED = "failed"
    MASKED = "masked"
    """A copy for reading with its secrets removed; it cannot be verified."""


class _Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of a manifest."""


class Started(_Part, kw_only=True):
    """How the server was started, with paths of the machine or container that it ran in."""

    argv: tuple[str, ...] = ()
    """The arguments after ``python``."""
    folder: str = ""
    """Folder of the application's code; empty for the bundled server."""
    cwd: str = ""
    """Working directory, for recording and replay; empty: any."""
    bind: str = ""
    """Address that a server traced as a whole was given, on which what it does depends; empty: none."""
    database: str = ""
    """Path of its database; it must not exist when the run is verified."""
    directory: str = ""
    """Current directory of the command that recorded it, from where its specification's paths are."""
    checkout: str = ""
    """The folder that the application's own paths are in; empty for the bundled server, and in containers."""
    folders: dict[str, str] = msgspec.field(default_factory=dict)
    """Folders of libraries, by name; see :mod:`loadgen.engine.folders`."""
    interpreter: dict[str, str] = msgspec.field(default_factory=dict)
    """The paths that ``sys`` had of the interpreter."""

    @property
    def code(self) -> str:
        """The folder of the application's code, also of the bundled server."""
        return self.folder or f"{self.folders.get('loadgen', '')}/{BUNDLED}"


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
    """Requests with an answer below 400, if some failed."""
    failed: Spread | None = None
    """Requests without an answer, or with an error."""
    conditions: tuple[Condition, ...] = ()
    corrected_p50_ms: float | None = None
    """With an arrival rate: latency from when requests were due."""
    corrected_p99_ms: float | None = None
    waited: int | None = None
    """With an arrival rate: number of iterations that waited for a free user."""
    longest_wait_ms: float | None = None
    visit: Visit | None = None
    """The outcome of the clients, if they used the gateway."""


class Result(_Part, kw_only=True):
    """The result of a session, made where the session ran."""

    state: State = State.RECORDING
    error: str = ""
    """Why it failed."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Versions that must match for a replay."""
    started: Started = msgspec.field(default_factory=Started)
    database_used: bool = False
    """Whether the server created its database."""
    totals: Totals | None = None
    """None until the session has ended."""
    modules: tuple[str, ...] = ()
    """Top-level names of the library modules that the server imported."""
    on_loop: bool = False
    """Whether its requests were tasks on one event loop, whose calls are not those of a request."""
    files: dict[str, str] = msgspec.field(default_factory=dict)
    """SHA-256 of each file; empty until the run is complete."""


class Sealed(_Part, kw_only=True):
    """How a run without secrets was made; see :mod:`loadgen.store.sealing`."""

    key: str
    """Name of the key."""
    replaced: dict[str, int]
    """Number of secrets that have pseudonyms, by kind."""


class Manifest(_Part, kw_only=True):
    """The content of ``run.json``."""

    format: str = FORMAT
    id: str
    created: str
    command: tuple[str, ...] = ()
    """The command line that recorded it."""
    spec: RunSpec
    """The complete specification; concurrency and iterations are the values actually used."""
    image: str = ""
    """The image of its containers; empty for a local run."""
    sources: dict[str, str] = msgspec.field(default_factory=dict)
    """SHA-256 of each file of the application's code, by path; empty if not computed."""
    data_files: dict[str, str] = msgspec.field(default_factory=dict)
    """The same for configuration, static files and the like, which a replay has as they were recorded."""
    packages: dict[str, str] = msgspec.field(default_factory=dict)
    """The versions of the libraries that were installed."""
    client_sources: dict[str, str] = msgspec.field(default_factory=dict)
    """The same for the scenario or traffic file."""
    sealed: Sealed | None = None
    """None if the recording is in clear text."""
    result: Result = msgspec.field(default_factory=Result)

    @property
    def concurrency(self) -> int:
        """Number of virtual users that ran."""
        assert self.spec.load.concurrency is not None
        return len(self.spec.load.users)

    @property
    def requests(self) -> int | None:
        """Number of recorded requests; None until the session has ended."""
        return None if self.result.totals is None else self.result.totals.requests

    @property
    def seconds(self) -> float | None:
        """Duration of the session; None until it has ended."""
        return None if self.result.totals is None else self.result.totals.seconds

    @property
    def expires(self) -> datetime | None:
        """When the recording becomes too old; None if it never does."""
        days = self.spec.label.max_age
        return None if days is None else datetime.fromisoformat(self.created) + timedelta(days)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return content

    @classmethod
    def from_json(cls, content: Any) -> Manifest:
        """Decode a manifest from the output of :meth:`to_json`.

        Raises:
            ValueError: *content* is not valid; the message names the field.
        """
        return msgspec.convert(content, cls, str_keys=True)


def write(path: Path, manifest: Manifest) -> None:
    """Write *manifest* to *path*, sealed and atomically."""
    # As it is read: a caller's 5 for a number of seconds is 5.0 there, and must not look like damage.
    sealed.write(path, Manifest.from_json(manifest.to_json()).to_json())


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
    if not sealed.lacks_only(content, manifest.to_json()):
        raise RecordingFault(
            f"{path} is damaged: loadgen would write it differently", advice="Record again: loadgen record"
        )
    return manifest
