"""The containers of one session: a server and its driver, with their volume and network.

Every resource is registered before it is started, and removed in reverse order, shielded from cancellation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import anyio

from loadgen.containers import layout
from loadgen.containers.daemon import quietly
from loadgen.engine.owner import LABEL, mine
from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadgen.containers.daemon import ContainerExit, Daemon
    from loadgen.containers.layout import Service
    from loadgen.core.stop import Stop

CLEAN_UP_LIMIT = 60.0
"""Time limit for removing all resources."""
LEAVE_LIMIT = 25.0
"""Time limit for a server to exit after it was asked to."""
BEREFT_LIMIT = 3.0
"""Grace period for a container to notice that its peer exited."""
POLL = 0.1


@dataclass(slots=True)
class ContainerExits:
    """How the two containers exited; None: never started, or removed while running."""

    server: ContainerExit | None = None
    driver: ContainerExit | None = None


class ContainerGroup:
    """Creates the containers of one session from one image, and removes them."""

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
        """Create the internal network for recording, without access to the outside."""

        def make(client: Any) -> None:
            client.networks.create(self._name, driver="bridge", internal=True, labels=self._labels)

        await self._daemon.call(make)
        self._made.append(lambda client: client.networks.get(self._name).remove())

    async def create(self, service: Service, *arguments: str, joined: Any = None) -> Any:
        """Create the container of *service*, not started; it shares the network of *joined*, if given."""
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
                },  # readable with any default driver of the daemon
                **network,
                **layout.hardening(**self._limits),
            )

        # Registered first: removing a container that was never created does no harm.
        self._made.append(lambda client: client.containers.get(name).remove(force=True, v=True))
        return await self._daemon.call(make)

    async def _hold(self, driver: Any) -> None:
        """Hold the standard input of *driver* open: if this process dies, driver and session end."""
        held = await self._daemon.call(lambda _: driver.attach_socket(params={"stdin": 1, "stream": 1}))
        self._made.append(lambda _: held.close())

    async def run(self, server: Any, driver: Any, hear: Callable[[str], None], stop: Stop) -> ContainerExits:
        """Run both containers until they exit; *hear* receives each line of the driver, *stop* ends it early.

        Raises:
            MachineFault: Docker cannot start them, or stopped answering.
        """
        try:
            return await _Watch(self._daemon, server, driver).run(self._hold, hear, stop)
        except ExceptionGroup as group:  # the first failure cancelled the others
            raise group.exceptions[0] from group

    async def run_alone(self, driver: Any, hear: Callable[[str], None]) -> ContainerExits:
        """Run a container that needs no server until it exits; *hear* receives each of its lines.

        Raises:
            MachineFault: Docker cannot start it, or stopped answering.
        """
        await self._hold(driver)
        await self._daemon.call(lambda _: driver.start())
        await self._daemon.lines(driver, hear)
        return ContainerExits(driver=await self._daemon.wait(driver))


class _Watch:
    """Watches a server and its driver until both have exited."""

    def __init__(self, daemon: Daemon, server: Any, driver: Any) -> None:
        self._daemon = daemon
        self._server = server
        self._driver = driver
        self._ends = ContainerExits()
        self._server_ended = anyio.Event()
        self._heard = False

    async def run(
        self, hold: Callable[[Any], Awaitable[None]], hear: Callable[[str], None], stop: Stop
    ) -> ContainerExits:
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
                return self._ends  # the driver could not start because the server's network is gone with it
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
                    # The driver exited before it connected to the server.
                    await quietly(self._daemon, lambda _: self._server.kill("SIGINT"))
            watching.cancel_scope.cancel()
        return self._ends

    async def _watch_server(self) -> None:
        self._ends.server = await self._daemon.wait(self._server)
        self._server_ended.set()
        # Its address is gone with it: pending requests would run into their time limit.
        await anyio.sleep(BEREFT_LIMIT)
        while self._ends.driver is None:
            await self._interrupt_driver()
            await anyio.sleep(POLL)

    async def _watch_stop(self, stop: Stop) -> None:
        # A signal handler can only set a flag. PID 1 of a container ignores signals until it has handlers, so
        # wait until the driver has printed something.
        while not (stop.requested and self._heard and await self._interrupt_driver()):  # noqa: ASYNC110
            await anyio.sleep(POLL)

    async def _interrupt_driver(self) -> bool:
        return await quietly(self._daemon, lambda _: self._driver.kill("SIGINT"))
