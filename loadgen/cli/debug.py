"""``loadgen debug``: a terminal for the debugger inside a replayed request.

The debugger runs in the replayed server, the terminal here: the server has no terminal, and what reads one
would be part of its replay. They talk over a socket; see :mod:`loadgen.traced.debug.channel`.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadgen.cli.options import taking
from loadgen.cli.output import say
from loadgen.core.spec import VerifySpec
from loadgen.errors import Interrupted, UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from loadgen.core.debug_plan import DebugPlan
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder
    from loadgen.verify import Verified

NOT_DEBUGGED = ("coverage", "timeout", "replays", "explain", "mode", "runtime", "image", "memory")
"""Fields of a verification that have no meaning for a replay that is debugged."""
NOT_STOPPED = 3
PORTS = 65535


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    app.command(short_help="Stop in a request of a replayed run, in a debugger.")(
        taking(spec=VerifySpec, without=NOT_DEBUGGED)(debug)
    )


def debug(
    spec: VerifySpec,
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of the run. Default: the latest one in runs/.", show_default=False),
    ] = None,
    request: Annotated[
        int | None,
        typer.Option(
            "--request",
            "-r",
            metavar="N",
            help="Stop in request N, at the first line of the application's own code.",
            show_default=False,
        ),
    ] = None,
    left: Annotated[
        bool,
        typer.Option(
            "--left", help="Stop where a request leaves the tape: the first one, or that of --request."
        ),
    ] = False,
    dap: Annotated[
        int | None,
        typer.Option(
            "--dap",
            metavar="PORT",
            min=1,
            max=PORTS,
            help="Instead of the terminal, wait for an editor on this port of 127.0.0.1 (needs debugpy).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Replay a run, and stop in one of its requests with the recorded rows, clock and random numbers.

    The debugger is pdb, with three more commands: calls lists what the request has asked of the outside and
    what it got, back goes to the line before, restart to the first one. There is no time limit, and nothing
    is written into the run.
    """
    from loadgen import debugging
    from loadgen.core.comparison import ignoring
    from loadgen.core.debug_plan import DebugPlan
    from loadgen.engine import interpreter
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.sealing import unsealed
    from loadgen.verify import relocated

    if request is None and not left:
        raise UsageError("where to stop is missing", advice="Add --request N, or --left.")
    if dap is not None and left:
        raise UsageError("--left works in the terminal only", advice="Leave out --dap.")
    ignoring(spec.ignore)
    with unsealed(*RunFolder.open(run)) as (folder, manifest):
        debugging.check(folder, manifest, request)
        installed = ""
        if dap:
            python = interpreter.at(relocated(folder, manifest, spec).python)
            installed = debugging.debugpy_folder(python)
        plan = DebugPlan(request=request, left=left, dap=dap or 0, debugpy=installed)
        say(_opening(folder, manifest, plan))
        code = _session(folder, manifest, spec, plan)
    raise typer.Exit(code)


def _opening(run: RunFolder, manifest: Manifest, plan: DebugPlan) -> str:
    from loadgen import debugging

    to = "to where a request leaves the tape"
    if plan.request is not None:
        asked = debugging.request(run, plan.request)
        to = f"to request {asked.seq}  {asked.method} {asked.target}  (virtual user {asked.user})"
        to += ", where it leaves the tape" if plan.left else ""
    return f"replaying {manifest.id}: {manifest.spec.target_name}, {to}"


def _session(run: RunFolder, manifest: Manifest, spec: VerifySpec, plan: DebugPlan) -> int:
    """Replay until the person has seen enough, and return the exit code."""
    from msgspec import convert

    from loadgen import debugging
    from loadgen.core.debug_plan import DebugPlan

    while True:
        with debugging.evidence() as folder, _replaying(run, manifest, spec, plan, folder) as terminal:
            terminal.talk()
            if terminal.again is None:
                return 0 if terminal.quit else _ended(terminal, manifest, plan)
            plan = convert(terminal.again, DebugPlan)


def _ended(terminal: _Terminal, manifest: Manifest, plan: DebugPlan) -> int:
    """Print how the replay ended, and return the exit code."""
    from loadgen.cli import show

    result: Verified = terminal.replay.result()
    found = result.verdict
    if terminal.stopped:
        say(f"the replay has ended: {show.headline(found)}")
        return 0
    say(show.verdict(result, manifest))
    if plan.left and not any(one.first.left for one in found.causes) and not found.reasons:
        say("No request left the tape: each took every recorded step.")
        if found.causes:
            say(f"Stop in the first that answers differently: --request {found.causes[0].first.seq}")
        return found.judgement.exit_code
    return found.judgement.exit_code or NOT_STOPPED


class _Terminal:
    """This end of the conversation with the debugger."""

    def __init__(self, connection: socket.socket, replay: Any) -> None:
        self._connection = connection
        self._rest = b""
        self._asking = self._pressed = False
        self.replay = replay
        """The future of the replay."""
        self.stopped = False
        """Whether the debugger has stopped anywhere."""
        self.quit = False
        self.again: dict[str, Any] | None = None
        """The plan of the replay to start next, if there is one."""

    def talk(self) -> None:
        """Print and answer until the replay ends, or the person wants something else.

        Raises:
            Interrupted: Ctrl-C was pressed twice while the replay ran.
        """
        with self._interrupts(), self._completion():
            while (message := self._receive()) is not None:
                match message:
                    case {"text": str() as text}:
                        print(text, end="", flush=True)
                    case {"ask": str() as prompt}:
                        self.stopped = True
                        self._send(line=self._read(prompt))
                        if self._pressed:  # meanwhile: it is for what the line starts
                            self._send(interrupt=True)
                    case {"listening": int() as port}:
                        self.stopped = True
                        print(f"waiting for an editor at 127.0.0.1:{port} (docs/debugging.md)", flush=True)
                    case {"again": dict() as plan}:
                        self.again = plan
                        return
                    case {"quit": _}:
                        self.quit = True
                        return

    def _read(self, prompt: str) -> str:
        while True:
            self._asking, self._pressed = True, False
            try:
                return f"{input(prompt)}\n"
            except EOFError:
                return ""
            except KeyboardInterrupt:
                print("\n--KeyboardInterrupt--")
            finally:
                self._asking = False

    def _receive(self) -> dict[str, Any] | None:
        while b"\n" not in self._rest:
            chunk = self._connection.recv(1 << 16)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def _send(self, **message: object) -> None:
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:  # the replay has ended: the next message says how
            return

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C drops what is typed, or asks a request that runs to stop; once more, it ends everything."""

        def handle(number: int, frame: object) -> None:
            del number, frame
            if self._asking:
                raise KeyboardInterrupt
            if self._pressed:
                raise Interrupted("interrupted")
            self._pressed = True
            print("\nloadgen: stopping at the next line (interrupt again to end)", file=sys.stderr)
            self._send(interrupt=True)

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def _completion(self) -> Iterator[None]:
        """Edit lines with readline, and complete words by what the debugger knows."""
        if not sys.stdin.isatty():
            yield
            return
        import readline

        found: list[str] = []

        def complete(text: str, state: int) -> str | None:
            if not state:
                self._send(complete=[text, readline.get_line_buffer(), readline.get_begidx()])
                found[:] = (self._receive() or {}).get("completions", [])
            return found[state] if state < len(found) else None

        readline.set_completer_delims(" \t\n`@#$%^&*()=+[{]}\\|;:'\",<>?")
        readline.parse_and_bind("tab: complete")
        before = readline.get_completer()
        readline.set_completer(complete)
        try:
            yield
        finally:
            readline.set_completer(before)


@contextmanager
def _replaying(
    run: RunFolder, manifest: Manifest, spec: VerifySpec, plan: DebugPlan, folder: Path
) -> Iterator[_Terminal]:
    """Replay in another thread, as Ctrl-C reaches the main thread, which reads the terminal."""
    import socket

    from anyio.from_thread import start_blocking_portal

    from loadgen import dispatch

    ours, theirs = socket.socketpair()
    with ours, theirs, start_blocking_portal() as portal:
        replay = portal.start_task_soon(dispatch.debug, run, manifest, spec, plan, theirs.fileno(), folder)
        replay.add_done_callback(lambda _: theirs.shutdown(socket.SHUT_RDWR))
        try:
            yield _Terminal(ours, replay)
        finally:
            replay.cancel()
