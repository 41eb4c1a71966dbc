"""The load generator as a process of its own, under the engine: sockets, clock and timers are on the tape.

``python -m loadgen.cli.apart JSON`` runs one session. What it lives goes to standard output, a JSON object
a line, by ``print``: that is what the engine leaves live in a replay.

``request``, ``response``, ``failure``, ``failed_iteration``
    As in a transcript (:mod:`loadgen.core.transcript`), but a body that is kept beside it comes before, as
``body``
    with its ``sha256`` and its bytes as ``base64``.
``say``
    A ``line`` of a scenario's story.
``outcome``
    The end: what became of the iterations, as :class:`loadgen.client.session.Outcome` has it.
``left``
    A replay asks for something that was not recorded: ``code`` (:mod:`loadgen.protocol`), ``why``, and the
    ``stack``, innermost call first.

Standard input says when to stop: when it has ended, because we shall, or because whoever started us is gone.
"""

from __future__ import annotations

import base64
import gc
import json
import select
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from loadgen import protocol
from loadgen.cli.load import plan
from loadgen.client.session import fire
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.pacing import Shape
from loadgen.core.transcript import FailedIteration, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLLECT_EVERY = 20
"""Answers from one run of the collector to the next."""


class Telling:
    """Numbers what is issued, and tells it with its time; see :class:`loadgen.client.recording.Notes`."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
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
        """Number a request and tell it, before it is sent; nothing in here awaits."""
        self._requests += 1
        request = Request(self._requests, user, method, target, headers, body)
        self._event(request, **({} if due is None else {"due": round(due, 6)}))
        return request

    def complete(self, outcome: Response | Failure) -> None:
        """Tell how a request ended, and collect, if it is time to.

        Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes
        others than the recorded process did. What they call is on the tape, so they must run at one place.
        """
        self._event(outcome)
        self._answers += 1
        if self._answers % COLLECT_EVERY == 0:
            gc.collect()

    def write(self, event: FailedIteration) -> None:
        """Tell how an iteration failed."""
        self._event(event)

    def _event(self, event: Request | Response | Failure | FailedIteration, **more: float) -> None:
        name, fields = encode(event, self._body)
        self._tell(name, at=round(self.elapsed, 6), **more, **fields)

    def _body(self, digest: str, body: bytes) -> None:
        self._tell("body", sha256=digest, base64=base64.b64encode(body).decode())


class StopWithInput:
    """Requested when standard input has ended; looking is on the tape, so a replay stops where it did."""

    @property
    def requested(self) -> bool:
        """Look."""
        return bool(select.select([0], [], [], 0)[0])


def main(given: str) -> None:
    """Run the session that *given*, a JSON object, describes."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a scenario prints is no line of ours

    def tell(event: str, **what: Any) -> None:
        print(json.dumps({"event": event, **what}), file=out, flush=True)

    session: dict[str, Any] = json.loads(given)
    played = session.pop("from")
    scenario = plan(session.pop("scenario"), Path(played) if played else None, quiet=True)
    gc.collect()
    gc.freeze()
    gc.disable()
    load = partial(
        fire,
        session.pop("url"),
        scenario,
        Telling(tell),
        stop=StopWithInput(),
        say=lambda line: tell("say", line=line),
        shape=Shape(**session.pop("shape")),
        **session,
    )
    try:
        outcome = anyio.run(load)
    except BaseException as error:
        for left in _causes(error):
            if stack := getattr(left, "stack", None):
                code = getattr(left, "code", protocol.UNKNOWN)
                tell("left", code=code, why=str(left), stack=stack, after=None, lost=None)
                break
        raise
    tell("outcome", **asdict(outcome))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what led to it, the first of it first."""
    if error.__context__ is not None:
        yield from _causes(error.__context__)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    yield error


if __name__ == "__main__":
    main(sys.argv[1])
