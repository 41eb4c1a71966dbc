"""The load generator as a separate process under the engine: its sockets, clock and timers are on the tape.

It runs one session and emits events on standard output, one per line (:mod:`loadgen.core.events`), with
``print``, which the engine leaves live in a replay. Each request and each outcome is an
:class:`~loadgen.core.events.Entry`; a body that is stored beside a transcript is emitted before it.

The session stops at the end of standard input, when the parent process closes it or dies.
"""

from __future__ import annotations

import base64
import gc
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio

from loadgen import protocol
from loadgen.client.plan import plan
from loadgen.client.scenario import Scenario
from loadgen.client.session import fire_load
from loadgen.core.events import Entry, EntryBody, LeftTape, Story, to_line
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.transcript import FailedIteration, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.events import Emit, Event
    from loadgen.core.spec import RunSpec

COLLECT_EVERY = 20
"""Number of answers between two garbage collections."""


class Emitting:
    """Numbers requests, and emits them with their times; see :class:`loadgen.client.recording.Recorder`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._began = time.monotonic()
        self._requests = 0
        self._answers = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the session began."""
        return time.monotonic() - self._began

    def issue(
        self,
        user: int,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        due: float | None = None,
    ) -> Request:
        """Number a request and emit it, before it is sent; nothing in here awaits."""
        self._requests += 1
        request = Request(self._requests, user, method, target, headers, body)
        self._event(request, None if due is None else round(due, 6))
        return request

    def complete(self, outcome: Response | Failure) -> None:
        """Emit the outcome of a request, and collect garbage if it is time to.

        The collector counts allocations, which differ in a replay. Calls made by finalizers are on the tape,
        so finalizers must run at a fixed position.
        """
        self._event(outcome)
        self._answers += 1
        if self._answers % COLLECT_EVERY == 0:
            gc.collect()

    def write(self, event: FailedIteration) -> None:
        """Emit the failure of an iteration."""
        self._event(event)

    def _event(self, event: Request | Response | Failure | FailedIteration, due: float | None = None) -> None:
        name, fields = encode(event, self._body)
        self._emit(Entry(name=name, fields=fields, at=round(self.elapsed, 6), due=due))

    def _body(self, digest: str, body: bytes) -> None:
        self._emit(EntryBody(sha256=digest, base64=base64.b64encode(body).decode()))


class StopWithInput:
    """Requests a stop when standard input has ended; the check is on the tape, so a replay stops too."""

    @property
    def requested(self) -> bool:
        """Check standard input."""
        return bool(select.select([0], [], [], 0)[0])


def run(spec: RunSpec, url: str) -> None:
    """Run the session of *spec* against *url*, and emit its events."""
    out, sys.stdout = sys.stdout, sys.stderr  # output of a scenario is not an event

    def emit(event: Event) -> None:
        print(to_line(event).decode(), file=out, flush=True)

    scenario, _ = plan(spec.traffic)
    assert isinstance(scenario, Scenario), "what is traced are virtual users"
    gc.collect()
    gc.freeze()
    gc.disable()
    session = partial(
        fire_load,
        url,
        scenario,
        Emitting(emit),
        spec.load,
        stop=StopWithInput(),
        say=lambda line: emit(Story(line=line)),
    )
    try:
        end = anyio.run(session)
    except BaseException as error:
        for left in _causes(error):
            if stack := getattr(left, "stack", None):
                code = getattr(left, "code", protocol.UNKNOWN)
                emit(LeftTape(code=code, why=str(left), stack=tuple(stack)))
                break
        raise
    emit(end)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and its causes, the first cause first."""
    if error.__context__ is not None:
        yield from _causes(error.__context__)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    yield error
