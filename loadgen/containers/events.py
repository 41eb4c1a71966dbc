"""What a load generator in a container tells the host while it works: one JSON object a line.

``stage``
    ``what`` begins.
``say``
    A ``line`` of a scenario's story.
``figures``
    :class:`Heard`, a few times a second from when the first request may be sent.
``recorded``
    A session's end: ``interrupted``, and what became of the ``iterations``, ``failed``, ``errors``.
``error``
    Why it could not be done: the error's ``kind``, ``message`` and ``advice``.

The host holds the other end of this process's standard input: when that ends, the host is gone, and the
session is stopped as by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from loadgen import errors
from loadgen.client.session import Outcome
from loadgen.record import Watcher

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    from loadgen.record import Figures, Recorded

EVERY = 0.2
"""Seconds between two lines of figures."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles as the load generator reckoned them, in seconds."""

    p50: float = 0
    p99: float = 0

    def percentile(self, percent: float) -> float:
        """Return the 50th or the 99th."""
        return {50.0: self.p50, 99.0: self.p99}[percent]


@dataclass(slots=True, kw_only=True)
class Heard:
    """The running figures of a session; see :class:`loadgen.record.Figures`."""

    requests: int = 0
    failures: int = 0
    elapsed: float = 0
    statuses: dict[int, int] = field(default_factory=dict)
    latency: Latency = Latency()


class Teller(Watcher):
    """Writes what happens as lines, for as long as there is somebody to read them."""

    def __init__(self, out: TextIO, held_by: int) -> None:
        self._out = out
        self._held_by = held_by
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._journal: tuple[Figures, int | None, float | None] | None = None
        self._thread = threading.Thread(target=self._keep_telling, name="figures", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        threading.Thread(target=self._stop_with_host, name="lifeline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if isinstance(error, errors.LoadgenError):
            self._tell("error", kind=type(error).__name__, message=error.message, advice=error.advice)

    def stage(self, what: str) -> None:
        """Say that *what* begins."""
        self._tell("stage", what=what)

    def journal(self, journal: Figures, total: int | None, until: float | None = None) -> None:
        """Tell the figures of *journal* from now on."""
        self._journal = journal, total, until

    def say(self, line: str) -> None:
        """Tell a line of a scenario's story."""
        self._tell("say", line=line)

    def recorded(self, result: Recorded) -> None:
        """Tell how a session ended."""
        self._tell("recorded", interrupted=result.interrupted, **asdict(result.outcome))

    def _keep_telling(self) -> None:
        while not self._done.wait(EVERY):
            if self._journal is not None:
                journal, total, until = self._journal
                latency = Latency(journal.latency.percentile(50), journal.latency.percentile(99))
                self._tell(
                    "figures",
                    total=total,
                    until=until,
                    requests=journal.requests,
                    failures=journal.failures,
                    elapsed=journal.elapsed,
                    statuses=journal.statuses,
                    latency=asdict(latency),
                )

    def _stop_with_host(self) -> None:
        while os.read(self._held_by, 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    def _tell(self, event: str, **what: Any) -> None:
        with self._turn:
            self._out.write(json.dumps({"event": event, **what}) + "\n")
            self._out.flush()


class Listener:
    """Reads the lines on the host: lets *watcher* see what happens, and keeps how it ended."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._figures: Heard | None = None
        self.interrupted = False
        self.outcome: Outcome | None = None
        self.error: errors.LoadgenError | None = None

    def hear(self, line: str) -> None:
        """Take one line; one that is none of ours is left out."""
        try:
            what = json.loads(line)
            name = what.pop("event")
            self._take(name, what)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _take(self, name: str, what: dict[str, Any]) -> None:
        match name:
            case "stage":
                self._figures = None
                self._watcher.stage(what["what"])
            case "say":
                self._watcher.say(what["line"])
            case "figures":
                self._show(what)
            case "recorded":
                self.interrupted = what.pop("interrupted")
                self.outcome = Outcome(**what)
            case "error":
                kind = getattr(errors, what["kind"])
                self.error = kind(what["message"], advice=what["advice"])

    def _show(self, what: dict[str, Any]) -> None:
        total, until = what.pop("total"), what.pop("until")
        if self._figures is None:
            self._figures = Heard()
            self._watcher.journal(self._figures, total, until)
        self._figures.requests = what["requests"]
        self._figures.failures = what["failures"]
        self._figures.elapsed = what["elapsed"]
        self._figures.statuses = {int(status): count for status, count in what["statuses"].items()}
        self._figures.latency = Latency(**what["latency"])
