"""The containers of one session: a server, whoever drives it, their volume and network; at its end all are gone.

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
    from collections.abc import Callable

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
                log_config={"Type": "json-file", "Config": {}},  # so that it can be read, whatever the default
                **network,
                **layout.hardening(**self._limits),
            )

        # Noted first: a name that was never taken does no harm when it is removed.
        self._made.append(lambda client: client.containers.get(name).remove(force=True, v=True))
        return await self._daemon.call(make)

    async def _hold(self, driver: Any) -> None:
        """Hold the standard input of *driver*: when we are gone, it ends, and so does the session."""
        held = await self._daemon.call(
            lambda _: driver.attach_socket(params={"stdin": 1, "stream": 1})
        )
        self._made.append(lambda _: held.close())

    async def run(self, server: Any, driver: Any, hear: Callable[[str], None], stop: Stop) -> Ends:
        """Run both to their ends; *hear* each line of the driver, and let *stop* end it early.

        Raises:
            MachineFault: Docker cannot start them.
        """
        ends = Ends()
        await self._daemon.call(lambda _: server.start())
        async with anyio.create_task_group() as watching:

            async def watch_server() -> None:
                ends.server = await self._daemon.wait(server)
                # Its address is gone with it: what is under way would wait for its whole time limit.
                await anyio.sleep(BEREFT_LIMIT)
                while ends.driver is None:
                    await quietly(self._daemon, lambda _: driver.kill("SIGINT"))
                    await anyio.sleep(POLL)

            async def watch_stop() -> None:
                while not stop.requested or not await quietly(self._daemon, lambda _: driver.kill("SIGINT")):
                    await anyio.sleep(POLL)

            watching.start_soon(watch_server)
            try:
                await self._hold(driver)
                await self._daemon.call(lambda _: driver.start())
            except MachineFault:
                await anyio.sleep(POLL)  # a server that has ended has no network to join: that is why
                if ends.server is None:
                    raise
                watching.cancel_scope.cancel()
                return ends
            watching.start_soon(watch_stop)
            await self._daemon.lines(driver, hear)
            ends.driver = await self._daemon.wait(driver)
            for limit in (BEREFT_LIMIT, LEAVE_LIMIT):
                with anyio.move_on_after(limit):
                    while ends.server is None:
                        await anyio.sleep(POLL)
                if ends.server is None:  # the driver ended before the server knew that there was one
                    await quietly(self._daemon, lambda _: server.kill("SIGINT"))
            watching.cancel_scope.cancel()
        return ends
