"""A replay in progress: its settings, and its results so far, however it ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from loadgen.core.events import Stage
from loadgen.core.exchange import Request
from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.transcript import Run
from loadgen.core.verdict import Facts, Seconds
from loadgen.modes.figures import sampled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from loadgen.core.classification import Row
    from loadgen.core.events import Emit
    from loadgen.core.judge import Judge
    from loadgen.core.transcript import Event, Reader
    from loadgen.store.journal import Journal
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder


@dataclass(slots=True)
class Replaying:
    """One replay of a run."""

    run: RunFolder
    manifest: Manifest
    folder: Path
    judge: Judge
    timeout: float
    """Seconds without an answer after which it counts as hung."""
    emit: Emit
    log_calls: int | None = None
    """The request whose calls are noted, if the mode supports it."""
    moved: Relocation = IN_PLACE
    """Which of the recorded folders are elsewhere now."""
    align: tuple[Row, ...] = ()
    """The table of call kinds, if the code has changed and calls are matched by what they ask."""
    asked: dict[str, Any] | None = None
    """The calls of each request, if they were aligned, as reported by the boundary."""
    targets: dict[int, Request] = field(default_factory=dict)
    """The requests of such a replay."""
    requests: int = 0
    """Number of requests in the recorded transcript, as far as it was read."""
    complete: bool = False
    """Whether the recorded transcript was read to its end."""
    client_order_same: bool | None = None
    facts: Facts = field(default_factory=Facts)

    @property
    def log(self) -> Path:
        """The file with the output of the replayed server."""
        return self.folder / "server.log"

    def seen(self, events: Reader, journal: Journal) -> Iterator[Event]:
        """Yield the recorded events, and begin the replay's transcript with the same first line."""
        for event in events:
            if isinstance(event, Run):
                journal.write(event)
            self.requests = events.requests
            if self.align and isinstance(event, Request):
                self.targets[event.seq] = event
            yield event

    @asynccontextmanager
    async def timed(self, journal: Journal) -> AsyncIterator[None]:
        """Emit the figures of *journal* during the replay, and note how long it took."""
        self.emit(Stage(what="replaying"))
        began = monotonic()
        async with sampled(journal, self.emit, total=self.manifest.requests):
            yield
        took = Seconds(self.manifest.seconds, round(monotonic() - began, 3))
        self.facts = replace(self.facts, seconds=took)
