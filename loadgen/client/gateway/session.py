"""One recorded session with a client of any kind, through the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from loadgen.client.gateway.listener import LOCAL, LOOK_EVERY, Gateway
from loadgen.core.events import Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.client.gateway.command import Run
    from loadgen.client.gateway.users import UserBy
    from loadgen.client.recording import Recorder
    from loadgen.core.stop import Stopping


@dataclass(frozen=True, slots=True)
class Door:
    """Where the gateway listens, and how it identifies users."""

    host: str = "127.0.0.1"
    port: int = 0
    by: UserBy | None = None
    """The field of requests that identifies their user; None: a user is a lane of open connections."""
    hosts: tuple[str, ...] = ()
    """Hosts for which the gateway acts as a proxy."""


class Visiting:
    """Lets clients send requests to the server at *url* through the gateway."""

    def __init__(
        self,
        url: str,
        journal: Recorder,
        door: Door,
        *,
        timeout: float,
        stop: Stopping,
        say: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._door = door
        self._gateway = Gateway(url, journal, timeout=timeout, by=door.by, hosts=door.hosts)
        self._stop = stop
        self._say = say

    async def program(self, run: Run) -> Visit:
        """Have *run* start the client, and wait until it exits.

        Raises:
            UsageError: the gateway cannot listen, or there is no shell.
        """
        async with self._gateway.listening(self._door.host, self._door.port) as url:
            self._warn(url)
            async with run(url) as client:
                while client.code is None and not self._is_over():
                    with anyio.move_on_after(LOOK_EVERY):
                        await client.ended()
                code = client.code
                await self._gateway.finish()
        return self._visit(code)

    async def whoever_comes(self, duration: float | None) -> Visit:
        """Keep the port open for *duration* seconds, or until the run is stopped.

        Raises:
            UsageError: the gateway cannot listen.
        """
        async with self._gateway.listening(self._door.host, self._door.port) as url:
            self._warn(url)
            how_long = "until Ctrl-C" if duration is None else f"for {duration:g} s"
            self._say(f"listening on {url}, {how_long}")
            with anyio.move_on_after(duration):
                while not self._is_over():  # noqa: ASYNC110 - set by whoever stops the run
                    await anyio.sleep(LOOK_EVERY)
            await self._gateway.finish()
        return self._visit(None)

    def _is_over(self) -> bool:
        self._gateway.check()
        return self._stop.requested

    def _warn(self, url: str) -> None:
        host = self._door.host
        if host not in LOCAL and not host.startswith("127."):
            self._say(
                f"{url}: listening on {host or 'every address'}, so other machines can reach the server"
            )

    def _visit(self, code: int | None) -> Visit:
        gateway = self._gateway
        return Visit(
            connections=gateway.connections,
            most_open=gateway.most_open,
            exit_code=code,
            refused=dict(gateway.refusals),
            left=dict(gateway.departures),
        )
