"""Where servers run. A runtime yields a server that is ready, and ends it whatever happens.

:class:`Runtime` is the seam: ``local`` runs processes of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from loadgen.client.control import Control
    from loadgen.client.transport import WireTransport
    from loadgen.engine.target import Target
    from loadgen.store.run_folder import Manifest, RunFolder


class Seen(Protocol):
    """What is known of a server from inside."""

    @property
    def database(self) -> bool:
        """Whether it made a database where it was told to."""


class Asked(Protocol):
    """Whom to ask how a server serves."""

    async def state(self) -> Seen:
        """Return what is known of it."""

    async def order(self) -> list[int]:
        """Return ``n`` where request *n* entered, ``-n`` where it finished; nothing where nobody saw it."""


class Recorded(Protocol):
    """A server under the recording engine, ready."""

    url: str

    @property
    def control(self) -> Asked:
        """Whom to ask."""

    async def stop(self) -> None:
        """End it so that its recording is complete.

        Raises:
            EngineFault: it crashed, or did not end.
        """

    async def ended(self) -> None:
        """Wait until it has ended, by itself or otherwise."""

    async def obituary(self) -> str | None:
        """Say how it ended, and its last words; nothing while it runs."""


class Recorder(Protocol):
    """A place where servers are recorded."""

    name: str

    def database(self) -> str:
        """Say where the database of a server to be recorded shall be."""

    def record(
        self, target: Target, run: RunFolder, manifest: Manifest
    ) -> AbstractAsyncContextManager[Recorded]:
        """Run *target* under the recording engine, with an empty database."""


class Server(Protocol):
    """A server that is ready."""

    url: str
    wire: WireTransport
    control: Control

    async def stop(self) -> None:
        """End it so that its recording is complete.

        Raises:
            EngineFault: it crashed, or did not end.
        """

    async def ended(self) -> None:
        """Wait until it has ended, by itself or otherwise."""

    async def obituary(self) -> str | None:
        """Say how it ended, and its last words; nothing while it runs."""


class Runtime(Protocol):
    """A place where servers run."""

    name: str

    def database(self) -> str:
        """Say where the database of a server to be recorded shall be."""

    def record(
        self, target: Target, run: RunFolder, manifest: Manifest
    ) -> AbstractAsyncContextManager[Server]:
        """Run *target* under the recording engine, with an empty database."""

    def replay(
        self, run: RunFolder, manifest: Manifest, log: Path, *, aligned: bool = False
    ) -> AbstractAsyncContextManager[Server]:
        """Run the recording of *run* in a fresh process that has no database.

        With *aligned*, its calls are matched by what they ask, and not by their places.
        """
