"""Senders of a session's requests other than virtual users with a scenario.

These are clients of any kind, through the gateway, and a recorded run, whose requests are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from loadgen.client.gateway.command import program, running
from loadgen.client.gateway.session import Door, Visiting
from loadgen.client.gateway.users import UserBy
from loadgen.client.traffic.links import linked, listed
from loadgen.client.traffic.run import Again
from loadgen.client.transport import WireTransport
from loadgen.core.events import SessionEnd
from loadgen.core.option import shell
from loadgen.core.spec import CommandTraffic, ListenTraffic, ModeName, Runtime
from loadgen.errors import UsageError
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from loadgen.client.gateway.command import Run
    from loadgen.client.traffic.call import Call
    from loadgen.core.spec import RunSpec
    from loadgen.core.stop import Stop
    from loadgen.store.journal import Journal

OUTPUT = "client.log"
"""The file in a run's folder with the output of a client's command."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A session that is about to begin."""

    spec: RunSpec
    folder: Path
    """Folder of the run."""
    url: str
    journal: Journal
    stop: Stop
    say: Callable[[str], None]
    run: Run | None = None
    """Starts the client's command; None: the shell does."""


class Sender(Protocol):
    """Sends all the requests of a session."""

    @property
    def name(self) -> str:
        """Its name in the transcript."""

    @property
    def file(self) -> Path | None:
        """The file that the requests are from."""

    @property
    def concurrency(self) -> int:
        """Number of requests open at once; 0: known only at the end."""

    async def send(self, sending: Sending) -> SessionEnd:
        """Send them.

        Raises:
            LoadgenError: they cannot be sent.
        """


@dataclass(frozen=True, slots=True)
class Visitors:
    """Clients of any kind, through the gateway."""

    traffic: CommandTraffic | ListenTraffic
    name: str = "gateway"
    file: Path | None = None
    concurrency: int = 0

    def check(self, spec: RunSpec) -> None:
        """Refuse settings that the client decides, or that cannot be recorded this way.

        Raises:
            UsageError: the specification has such a setting.
        """
        option = "--client" if isinstance(self.traffic, CommandTraffic) else "--listen"
        _check(spec, option)
        if isinstance(self.traffic, ListenTraffic):
            _check_only_here(spec, option)
            _check_not_traced(spec, option)
        elif spec.mode is ModeName.CLIENT:
            program(self.traffic.client)
        if spec.load.shape.duration is not None and option == "--client":
            raise UsageError("--duration has no meaning with --client: the session ends with the command")
        self._door(spec)

    async def send(self, sending: Sending) -> SessionEnd:
        """Open the gateway until the client has exited, or the time is up."""
        load = sending.spec.load
        visiting = Visiting(
            sending.url,
            sending.journal,
            self._door(sending.spec),
            timeout=load.timeout,
            stop=sending.stop,
            say=sending.say,
        )
        match self.traffic:
            case CommandTraffic(client=command):
                output = sending.folder / OUTPUT
                visit = await visiting.program(
                    sending.run or (lambda url: running(command, url, output, sending.say))
                )
            case ListenTraffic():
                visit = await visiting.whoever_comes(load.shape.duration)
        return SessionEnd(iterations=0, interrupted=self._is_cut_short(sending), visit=visit)

    def _is_cut_short(self, sending: Sending) -> bool:
        """Whether the session was ended early; Ctrl-C is the normal end of an open port."""
        is_open_ended = isinstance(self.traffic, ListenTraffic) and sending.spec.load.shape.duration is None
        return sending.stop.requested and not is_open_ended

    def _door(self, spec: RunSpec) -> Door:
        by = UserBy.parse(spec.gateway.user_by) if spec.gateway.user_by is not None else None
        hosts = spec.gateway.proxy_for
        match self.traffic:
            case ListenTraffic(listen=address):
                host, port = address_of(address)
                return Door(host, port, by, hosts)
        return Door(by=by, hosts=hosts)


@dataclass(frozen=True, slots=True)
class Rerun:
    """The requests of a recorded run, sent again in their causal order."""

    run: Path
    name: str
    concurrency: int
    file: Path | None
    calls: Mapping[int, Call]
    """The requests with values of earlier answers, and those with the answers, by number."""

    def check(self, spec: RunSpec) -> None:
        """Refuse settings that the run decides.

        Raises:
            UsageError: the specification has such a setting.
        """
        _check(spec, f"--from {self.run}")
        _check_only_here(spec, f"--from {self.run}")
        _check_not_traced(spec, f"--from {self.run}")
        if spec.load.shape.duration is not None:
            raise UsageError(
                f"--duration has no meaning with --from {self.run}, which is sent once as a whole"
            )

    async def send(self, sending: Sending) -> SessionEnd:
        """Send the requests, and wait for their answers."""
        transport = WireTransport(reuse=False)
        again = Again(
            sending.url,
            transport,
            sending.journal,
            calls=self.calls,
            timeout=sending.spec.load.timeout,
            stop=sending.stop,
            say=sending.say,
        )
        try:
            with RunFolder(self.run).read() as events:
                await again.run(events)
        finally:
            await transport.aclose()
        if not events.ended and not sending.stop.requested:
            sending.say(f"{events.name} was cut short after {events.requests} requests: it has no end")
        return SessionEnd(interrupted=sending.stop.requested)


def rerun(path: Path, *, verbatim: bool = False) -> tuple[Rerun, list[str]]:
    """Return a sender for the requests of the run at *path*, and notes for the user.

    Unless *verbatim*, values from earlier answers are replaced by current ones.

    Raises:
        LoadgenError: it is not a run, or cannot be read.
    """
    folder, manifest = RunFolder.open(path)
    if manifest.sealed is not None:
        raise UsageError(
            f"{path} is sealed: its requests can be read with pseudonyms only",
            advice=f"To record them anew: {shell('accept', path)}",
        )
    calls: dict[int, Call] = {}
    if not verbatim:
        with folder.read() as events:
            calls = linked(events)
    sender = Rerun(folder.path, f"run {manifest.id}", manifest.concurrency, folder.transcript, calls)
    return sender, listed(calls, "record --from RUN --verbatim sends the recorded ones")


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (every address) or ``PORT``.

    Raises:
        UsageError: it is none of them.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (port.isascii() and port.isdigit() and int(port) <= 0xFFFF) or (":" in host and text[0] != "["):  # noqa: PLR2004
        raise UsageError(
            f"--listen {text} is not an address",
            advice="Give HOST:PORT, such as 127.0.0.1:8080, or only PORT, for this machine alone. "
            "Port 0 means any free port.",
        )
    if not colon:
        return "127.0.0.1", int(port)
    return host or "0.0.0.0", int(port)  # noqa: S104 - asked for


def _check(spec: RunSpec, option: str) -> None:
    load = spec.load
    given = {
        "--concurrency": load.concurrency,
        "--iterations": load.iterations,
        "--only-user": load.only or None,
        "--rate": load.shape.rate,
        "--ramp-up": load.shape.ramp_up or None,
        "--client-processes": load.client_processes if load.client_processes > 1 else None,
    }
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} has no meaning with {option}, which decides that itself")


def _check_only_here(spec: RunSpec, option: str) -> None:
    if spec.runtime is Runtime.DOCKER:
        raise UsageError(f"{option} is for a server on this machine: not with --runtime docker")


def _check_not_traced(spec: RunSpec, option: str) -> None:
    if spec.mode is ModeName.CLIENT:
        raise UsageError(
            f"--trace {spec.mode} traces loadgen's own virtual users, or a program: not with {option}",
            advice="Leave out --trace.",
        )
