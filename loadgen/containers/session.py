"""The containers of one session, a server and whoever drives it, their volume and network; then all are gone.

Whatever is made is noted before it is started, and removed in reverse, shielded from a cancellation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import anyio

from loadgen.containers import layout
from loadgen.containers.daemon import quietly
from loadgen.containers.owner import LABEL, mine
from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadgen.client.session import Stop
    from loadgen.containers.daemon import Daemon, Ended
    from loadgen.containers.layout import Service

CLEAN_UP_LIMIT = 60.0
"""Seconds that removing everything may take."""
LEAVE_LIMIT = 25.0
"""Seconds that a server that was told to leave may take."""
BEREFT_LIMIT = 3.0
"""Seconds that one of the two may take to notice by itself that the other is gone."""
POLL = 0.1


@dataclass(slots=True)
class Ends:
    """How the two containers ended; none: it never ran, or had to be removed."""

    server: Ended | None = None
    driver: Ended | None = None


class Session:
    """Makes containers of *image*, and removes them."""

    def __init__(self, daemon: Daemon, image: str, **limits: Any) -> None:
        self._daemon = daemon
        self._image = image
        self._limits = limits
        self._name = f"loadgen-{secrets.token_hex(4)}"
        self._labels = {LABEL: mine()}
        self._made: list[Callable[[Any], object]] = []

    async def __aenter__(self) -> Self:
        await self._daemon.call(lambda client: client.volumes.create(self._name, labels=self._labels))
        self._made.append(lambda client: client.volumes.get(self._name).remove(force=True))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_UP_LIMIT):
            for remove in reversed(self._made):
                await quietly(self._daemon, remove)

    async def network(self) -> None:
        """Make the network on which a server is recorded; nothing beyond it can be reached."""

        def make(client: Any) -> None:
            client.networks.create(self._name, driver="bridge", internal=True, labels=self._labels)

        await self._daemon.call(make)
        self._made.append(lambda client: client.networks.get(self._name).remove())

    async def create(self, service: Service, *arguments: str, joined: Any = None) -> Any:
        """Make the container of *service*, not started yet; *joined* is the one whose network it shares."""
        name = f"{self._name}-{service.name}"
        if joined is not None:
            network: dict[str, Any] = {"network_mode": f"container:{joined.id}"}
        elif service.network == "none":
            network = {"network_mode": "none"}
        else:
            network = {"network": self._name, **layout.NAMES}

        def make(client: Any) -> Any:
            if "network" in network:
                endpoint = client.api.create_endpoint_config(aliases=[service.name])
                network["networking_config"] = {self._name: endpoint}
            return client.containers.create(
                self._image,
                [*service.command, *arguments],
                name=name,
                labels=self._labels,
                working_dir=service.workdir,
                volumes={self._name: {"bind": layout.HOME, "mode": service.volume}},
                use_config_proxy=False,
                stdin_open=True,
                log_config={
                    "Type": "json-file",
                    "Config": {},
                },  # so that it can be read, whatever the default
                **network,
                **layout.hardening(**self._limits),
            )

        # Noted first: a name that was never taken does no harm when it is removed.
        self._made.append(lambda client: client.containers.get(name).remove(force=True, v=True))
        return await self._daemon.call(make)

    async def _hold(self, driver: Any) -> None:
        """Hold the standard input of *driver*: when we are gone, it ends, and so does the session."""
        held = await self._daemon.call(lambda _: driver.attach_socket(params={"stdin": 1, "stream": 1}))
        self._made.append(lambda _: held.close())

    async def run(self, server: Any, driver: Any, hear: Callable[[str], None], stop: Stop) -> Ends:
        """Run both to their ends; *hear* each line of the driver, and let *stop* end it early.

        Raises:
            MachineFault: Docker cannot start them, or is gone.
        """
        try:
            return await _Watch(self._daemon, server, driver).run(self._hold, hear, stop)
        except ExceptionGroup as group:  # whatever failed first cancelled the rest
            raise group.exceptions[0] from group


class _Watch:
    """Watches a server and its driver until both have ended."""

    def __init__(self, daemon: Daemon, server: Any, driver: Any) -> None:
        self._daemon = daemon
        self._server = server
        self._driver = driver
        self._ends = Ends()
        self._server_ended = anyio.Event()
        self._heard = False

    async def run(
        self, hold: Callable[[Any], Awaitable[None]], hear: Callable[[str], None], stop: Stop
    ) -> Ends:
        await self._daemon.call(lambda _: self._server.start())
        async with anyio.create_task_group() as watching:
            watching.start_soon(self._watch_server)
            try:
                await hold(self._driver)
                await self._daemon.call(lambda _: self._driver.start())
            except MachineFault:
                with anyio.move_on_after(BEREFT_LIMIT):
                    await self._server_ended.wait()
                if not self._server_ended.is_set():
                    raise
                watching.cancel_scope.cancel()
                return self._ends  # a server that has ended has no network to join: that is why
            watching.start_soon(self._watch_stop, stop)

            def listen(line: str) -> None:
                self._heard = True
                hear(line)

            await self._daemon.lines(self._driver, listen)
            self._ends.driver = await self._daemon.wait(self._driver)
            for limit in (BEREFT_LIMIT, LEAVE_LIMIT):
                with anyio.move_on_after(limit):
                    await self._server_ended.wait()
                if not self._server_ended.is_set():
                    # The driver ended before the server knew that there was one.
                    await quietly(self._daemon, lambda _: self._server.kill("SIGINT"))
            watching.cancel_scope.cancel()
        return self._ends

    async def _watch_server(self) -> None:
        self._ends.server = await self._daemon.wait(self._server)
        self._server_ended.set()
        # Its address is gone with it: what is under way would wait for its whole time limit.
        await anyio.sleep(BEREFT_LIMIT)
        while self._ends.driver is None:
            await self._interrupt_driver()
            await anyio.sleep(POLL)

    async def _watch_stop(self, stop: Stop) -> None:
        # A flag is all that a signal can set. A first process of a container that has no handlers yet ignores
        # signals, so the driver is left alone until it has spoken.
        while not (stop.requested and self._heard and await self._interrupt_driver()):  # noqa: ASYNC110
            await anyio.sleep(POLL)

    async def _interrupt_driver(self) -> bool:
        return await quietly(self._daemon, lambda _: self._driver.kill("SIGINT"))
