"""The interfaces of a session: what is recorded and replayed (a mode), and where its server runs (a host).

Only the mode knows what a replay proves. A session is a combination of a mode and a host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from loadgen.client.control import Control
    from loadgen.client.plan import Plan
    from loadgen.client.transport import WireTransport
    from loadgen.core.classification import Row
    from loadgen.core.events import Emit, SessionEnd
    from loadgen.core.judge import Terms
    from loadgen.core.relocation import Relocation
    from loadgen.core.spec import ModeName, RunSpec
    from loadgen.core.stop import Stop
    from loadgen.core.transcript import Reader
    from loadgen.engine.target import Target
    from loadgen.modes.replaying import Replaying
    from loadgen.store.journal import Journal
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.sealing import Sealing

START_LIMIT = 60.0
"""Time limit for a server to become ready, in seconds."""
ALIGNMENT = "alignment.json"
"""File beside the log: the calls of a server whose start failed at a question without an answer."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a recorded server did, as far as it can be observed."""

    order: list[int]
    """``n`` where request *n* entered, ``-n`` where it finished; empty if unknown."""
    database: bool
    """Whether the server created its database."""
    modules: tuple[str, ...] = ()
    """Top-level names of the library modules that it imported; empty if unknown."""
    on_loop: bool = False
    """Whether its requests were tasks on one event loop."""


class RecordedServer(Protocol):
    """A ready server under the recording engine."""

    url: str

    async def served(self) -> Served:
        """Return what the server did.

        Raises:
            EngineFault: it has exited.
            httpx.TransportError: it does not answer.
        """

    async def stop(self) -> None:
        """Stop the server so that its recording is complete.

        Raises:
            EngineFault: it crashed, or did not exit.
        """

    async def ended(self) -> None:
        """Wait until the server has exited, for whatever reason."""

    async def exit_report(self) -> str | None:
        """Return how the server exited, and its last log lines; None while it runs."""


class BoundaryServer(RecordedServer, Protocol):
    """A ready server with a request boundary, recording or replaying."""

    transport: WireTransport
    control: Control


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is about to be recorded."""

    spec: RunSpec
    target: Target
    scenario: Plan
    run: RunFolder
    """Where it is recorded: the run folder, or a private one if the run is sealed."""
    manifest: Manifest
    sealing: Sealing | None = None


class Host(Protocol):
    """Where servers run."""

    def record(self, session: Session) -> AbstractAsyncContextManager[BoundaryServer]:
        """Run the session's server under the recording engine, with an empty database.

        Sets ``manifest.result.started``.
        """

    def listening(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the session's server as a process that is traced as a whole, with its sockets."""

    aligns: bool
    """Whether its replays run the current code, so that calls may be aligned."""

    reaches: bool
    """Whether its replays collect which lines they reach."""

    def replay(
        self,
        run: RunFolder,
        manifest: Manifest,
        log: Path,
        moved: Relocation,
        *,
        align: tuple[Row, ...] = (),
    ) -> AbstractAsyncContextManager[BoundaryServer]:
        """Run the recording of *run* in a fresh process that has no database, and print to *log*.

        Recorded folders are where *moved* says. With *align*, the table of calls, they are matched by what
        they ask, and not by their places. A start that fails leaves what was asked in ``alignment.json``
        beside the log.
        """


class Mode(Protocol):
    """What is recorded for replay, and what its replay compares."""

    name: ModeName
    terms: Terms

    def tape(self, run: RunFolder) -> Path:
        """Return the recording that is replayed."""

    def record(self, session: Session) -> AbstractAsyncContextManager[RecordedServer]:
        """Run the session's server under the recording engine."""

    async def fire(self, session: Session, url: str, journal: Journal, stop: Stop, emit: Emit) -> SessionEnd:
        """Send the session's requests to *url*.

        Raises:
            LoadgenError: they cannot be sent, or not completely.
        """

    async def replay(self, replaying: Replaying, events: Reader, journal: Journal) -> None:
        """Replay; pass everything that can be compared to the judge, and write the replay's own transcript.

        Raises:
            LoadgenError: the run cannot be judged, or not completely.
        """
