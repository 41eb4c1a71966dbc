"""A server that runs as a process on this machine, under the engine and with a request boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx

from loadgen import protocol
from loadgen.client.control import BoundaryState, Control
from loadgen.client.transport import WireTransport
from loadgen.engine.elsewhere import settled_elsewhere
from loadgen.engine.log import last_words
from loadgen.engine.sessions import listening as ports_of
from loadgen.engine.traced_process import END_LIMIT
from loadgen.errors import EngineFault, ServerFault
from loadgen.modes.base import START_LIMIT, Served

if TYPE_CHECKING:
    from loadgen.engine.interpreter import Interpreter
    from loadgen.engine.traced_process import TracedProcess

SERVERS = (
    "loadgen knows Flask's own server (app.run, flask run, werkzeug's make_server), Django's runserver, "
    "waitress, gunicorn, uvicorn, and what wsgiref.simple_server.make_server makes."
)


class LocalServer:
    """A server process; see :class:`loadgen.modes.base.BoundaryServer`."""

    def __init__(self, process: TracedProcess, port: int, python: Interpreter) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.transport = WireTransport(reuse=False)
        self.control = Control(self.url, self.transport)
        self.ended = process.ended
        self.exit_report = process.exit_report
        self._process = process
        self._log = process.log
        self._python = python

    async def served(self) -> Served:
        """Ask the boundary what the server did, after all clients have ended."""
        self._process.release()
        state = await self.control.state()
        return Served(await self.control.order(), state.database, state.modules, state.on_loop)

    async def stop(self) -> None:
        """Interrupt the server, so that it exits by itself and its recording is complete."""
        self._process.interrupt()
        how = await self._process.exit_report(END_LIMIT)
        if how is None:
            raise EngineFault(
                f"the server did not stop within {END_LIMIT:g} s, so its recording is not complete"
            )
        if (self._process.code or 0) < 0 and not self._process.ended_well:
            raise EngineFault(f"the recorded server crashed: {how}")

    async def ready(self, mode: str) -> None:
        """Wait until the boundary answers; a connection to the listening socket waits by itself.

        Raises:
            ServerFault: the server exited, or its application does not serve.
            EngineFault: the answer is not from a boundary in *mode*.
        """
        answers = list[BoundaryState | Exception]()

        async def ask() -> None:
            try:
                answers.append(await self.control.state(START_LIMIT))
            except (httpx.TransportError, EngineFault) as error:
                answers.append(error)
            waiting.cancel_scope.cancel()

        async def look_elsewhere() -> None:
            await settled_elsewhere(self._process.pid, self._port)
            waiting.cancel_scope.cancel()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(ask)
            waiting.start_soon(look_elsewhere)
            await self.ended()  # its children may hold the socket open
            waiting.cancel_scope.cancel()
        match answers:
            case [BoundaryState() as state] if state.mode == mode:
                return
            case [BoundaryState() as state]:
                raise EngineFault(f"the server to {mode} is in {state.mode} mode")
            case [EngineFault() as fault]:
                raise fault
        raise await self._not_started(mode)

    async def _not_started(self, mode: str) -> ServerFault:
        """Return why the server does not serve: refused, crashed, exited, listens elsewhere, or too slow."""
        how, see = await self.exit_report(), f"See {self._log}."
        refusal = next(
            (line for line in reversed(last_words(self._log)) if line.startswith(protocol.LOG_REFUSAL)), None
        )
        if refusal is not None:
            return ServerFault(
                f"this server cannot be recorded: {refusal.removeprefix(protocol.LOG_REFUSAL)}", advice=see
            )
        what = f"the server to {mode} did not start"
        if how is not None and self._process.code:
            there = (
                f"It ran in {self._python.name}: --python PATH gives it another Python. It had few of your "
                "environment variables: --server-env NAME adds one, NAME=VALUE sets it."
            )
            return ServerFault(
                f"{what}: it crashed before it served a request: {how}", advice=f"{there} {see}"
            )
        if how is not None:
            return ServerFault(
                f"{what}: it exited without serving a request: {how}", advice=f"{SERVERS} {see}"
            )
        others = [port for port in ports_of(self._process.pid) if port != self._port]
        if others:
            ports = ", ".join(map(str, others))
            return ServerFault(
                f"{what}: it listens on port {ports} with a server that loadgen does not support",
                advice=f"{SERVERS} Record other servers as whole processes: --trace process. {see}",
            )
        return ServerFault(f"{what}: it did not serve within {START_LIMIT:g} s", advice=f"{SERVERS} {see}")
