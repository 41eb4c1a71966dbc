"""The load generator as a process of its own, under the engine: sockets, clock and timers are on the tape.

``python -m loadgen.client.apart JSON`` runs one session. What it lives goes to standard output, a JSON object
a line, by ``print``: that is what the engine leaves live in a replay.

``request``, ``response``, ``failure``
    As in a transcript (:mod:`loadgen.core.transcript`), but a body that is kept beside it comes before, as
``body``
    with its ``sha256`` and its bytes as ``base64``.
``say``
    A ``line`` of a scenario's story.
``outcome``
    The end: what became of the ``iterations``, ``failed``, ``errors``.
``left``
    A replay asks for something that was not recorded: ``why``, and the ``stack``, innermost call first.

Standard input says when to stop: when it has ended, because we shall, or because whoever started us is gone.
"""

from __future__ import annotations

import base64
import gc
import json
import select
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from loadgen.client.builtin import find
from loadgen.client.session import fire
from loadgen.core.exchange import Failure, Headers, Request, Response
from loadgen.core.transcript import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadgen.client.scenario import Scenario, User


class Telling:
    """Numbers what is issued, and tells it with its time; see :class:`loadgen.client.recording.Notes`."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self._requests = 0

    def issue(self, user: int, method: str, target: str, headers: Headers, body: bytes) -> Request:
        """Number a request and tell it, before it is sent; nothing in here awaits."""
        self._requests += 1
        request = Request(self._requests, user, method, target, headers, body)
        self._event(request)
        return request

    def complete(self, outcome: Response | Failure) -> None:
        """Tell how a request ended."""
        self._event(outcome)

    def _event(self, event: Request | Response | Failure) -> None:
        at = round(time.monotonic() - self._began, 6)
        name, fields = encode(event, self._body)
        self._tell(name, at=at, **fields)

    def _body(self, digest: str, body: bytes) -> None:
        self._tell("body", sha256=digest, base64=base64.b64encode(body).decode())


class StopWithInput:
    """Requested when standard input has ended; looking is on the tape, so a replay stops where it did."""

    @property
    def requested(self) -> bool:
        """Look."""
        return bool(select.select([0], [], [], 0)[0])


def collecting(scenario: Scenario) -> Scenario:
    """Return *scenario* with the collector run after each iteration, and at no other time.

    Finalizers run where the collector happens to run, and it counts allocations, of which a replay makes
    others than the recorded process did. What they call is on the tape, so they must run at one place.
    """
    gc.collect()
    gc.freeze()
    gc.disable()

    async def run(user: User) -> None:
        try:
            await scenario.run(user)
        finally:
            gc.collect()

    return replace(scenario, run=run)


def main(given: str) -> None:
    """Run the session that *given*, a JSON object, describes."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a scenario prints is no line of ours

    def tell(event: str, **what: Any) -> None:
        print(json.dumps({"event": event, **what}), file=out, flush=True)

    session: dict[str, Any] = json.loads(given)
    scenario = collecting(find(session.pop("scenario")))
    load = partial(
        fire,
        session.pop("url"),
        scenario,
        Telling(tell),
        stop=StopWithInput(),
        say=lambda line: tell("say", line=line),
        **session,
    )
    try:
        outcome = anyio.run(load)
    except BaseException as error:
        for left in _causes(error):
            if stack := getattr(left, "stack", None):
                tell("left", why=str(left), stack=stack)
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
