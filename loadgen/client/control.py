"""Requests to the boundary of a running server: its state, and the order in which it served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from loadgen import protocol
from loadgen.core.departure import Departure
from loadgen.core.reach import Reach
from loadgen.core.verdict import LoggedCalls
from loadgen.errors import EngineFault

if TYPE_CHECKING:
    from loadgen.client.transport import WireTransport


@dataclass(frozen=True, slots=True)
class BoundaryState:
    """The state of the boundary."""

    mode: str
    """``record`` or ``replay``."""
    open: tuple[int, ...]
    """Requests inside the application."""
    diverged: dict[int, Departure]
    """Requests that left the tape, in that order."""
    tape: dict[str, Any] | None
    first_thread: int
    database: bool
    """Whether a database exists at the server's database path."""
    modules: tuple[str, ...] = ()
    """Top-level names of the library modules that it imported."""
    on_loop: bool = False
    """Whether its requests are tasks on one event loop."""

    def waits_for(self) -> str:
        """Describe what a replay waits for, in a sentence."""
        if self.tape is None:
            return "Its dispatcher is the engine's own, which does not tell."
        waiting = ", ".join(self._who(thread) for thread in self.tape["waiting"]) or "nobody"
        if self.tape["ended"]:
            return f"The recording has ended ({self.tape['ended']}); waiting for more: {waiting}."
        if self.tape["next"] is None:
            return f"Nobody has asked for the next step of the tape; waiting: {waiting}."
        return (
            f"The tape's next step ({self.tape['item']}) is of {self._who(self.tape['next'])}; "
            f"waiting for their turn: {waiting}; no step was taken for {self.tape['idle']:.0f} s."
        )

    def waits(self, seq: int) -> bool:
        """Return whether a request waits for its turn, or whether that is unknown."""
        return self.tape is None or self.first_thread + seq in self.tape["waiting"]

    def _who(self, thread: int) -> str:
        if thread >= self.first_thread:
            return f"request {thread - self.first_thread}"
        return f"the application's thread {thread}" if thread else "the main thread"


class Control:
    """Talks to the boundary of the server at *url*."""

    def __init__(self, url: str, wire: WireTransport) -> None:
        self._url = url
        self._wire = wire

    async def state(self, timeout: float = 10) -> BoundaryState:  # noqa: ASYNC109 - the transport's own limit
        """Return the boundary's state.

        Raises:
            EngineFault: there is no boundary at this address, or one with a different protocol.
            httpx.TransportError: nothing answers.
        """
        answer = await self._get(protocol.STATE, timeout)
        if not isinstance(answer, dict) or answer.get("protocol") != protocol.VERSION:
            raise EngineFault(
                f"the request boundary at {self._url} does not speak protocol {protocol.VERSION}"
            )
        return BoundaryState(
            answer["mode"],
            tuple(answer["open"]),
            {int(seq): Departure.from_json(one) for seq, one in answer["diverged"].items()},
            answer["tape"],
            answer["first_thread"],
            answer["database"],
            tuple(answer["modules"]),
            answer["on_loop"],
        )

    async def order(self, timeout: float = 60) -> list[int]:  # noqa: ASYNC109
        """Return the server's order: ``n`` where request *n* entered, ``-n`` where it finished."""
        answer = await self._get(protocol.ORDER, timeout)
        assert isinstance(answer, list)
        return answer

    async def routes(self, timeout: float = 60) -> list[str]:  # noqa: ASYNC109
        """Return the paths that a GET without parameters reaches, as far as the framework lists them."""
        answer = await self._get(protocol.ROUTES, timeout)
        assert isinstance(answer, list)
        return answer

    async def all_sent(self, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Say that no further request will be sent: a replay then comes to the end of its tape."""
        await self._get(protocol.ALL_SENT, timeout)

    async def log_calls(self, seq: int, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Let the boundary log the calls of request *seq* in this replay."""
        await self._get(f"{protocol.LOG_CALLS}{seq}", timeout)

    async def call_log(self, timeout: float = 60) -> LoggedCalls | None:  # noqa: ASYNC109
        """Return the calls of the request given to :meth:`log_calls`; ``None`` if the server is gone."""
        try:
            answer = await self._get(protocol.CALL_LOG, timeout)
        except httpx.TransportError:
            return None
        return msgspec.convert(answer, LoggedCalls | None)

    async def alignment(self, timeout: float = 60) -> dict[str, Any] | None:  # noqa: ASYNC109
        """Return the calls of each request, replayed and recorded; None if the server is gone."""
        try:
            answer = await self._get(protocol.ALIGNMENT, timeout)
        except httpx.TransportError:
            return None
        return answer if isinstance(answer, dict) and "protocol" not in answer else None

    async def reached(self, timeout: float = 60) -> Reach | None:  # noqa: ASYNC109
        """Return what the replay has reached; None if the server is gone."""
        try:
            answer = await self._get(protocol.REACHED, timeout)
        except httpx.TransportError:
            return None
        return msgspec.convert(answer, Reach, strict=False)

    async def _get(self, name: str, timeout: float) -> Any:  # noqa: ASYNC109
        request = httpx.Request(
            "GET",
            f"{self._url}{protocol.CONTROL}{name}",
            extensions={"timeout": {"connect": timeout, "read": timeout}},
        )
        answer = await self._wire.handle_async_request(request)
        content = await answer.aread()
        try:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(answer.status_code)  # noqa: TRY301 - one handler for all that is no boundary
            return json.loads(content)
        except ValueError as error:
            raise EngineFault(
                f"the server at {self._url} runs without the request boundary: "
                f"asked for its {name}, it answered {answer.status_code}",
                advice="docs/your-server.md lists the servers that loadgen supports.",
            ) from error
