"""Processes under the engine: their output, their exit report, and their cleanup.

Each process watches a liveness pipe that only this process holds open: even after ``kill -9`` there is no
orphan.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio

from loadgen.engine.log import ending, last_words
from loadgen.engine.sessions import end_session
from loadgen.errors import RecordingFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

DYING = 1.0
"""Seconds to wait for the exit code of a process that seems to have ended."""
RELEASE = b"r"
"""Message on the liveness pipe, as in :mod:`loadgen.traced.liveness`, which belongs to the server."""
END_LIMIT = 20.0
"""Time limit for a process to exit after it was asked to."""


class TracedProcess:
    """A traced process. Output goes to the log; with ``events=True`` the process emits events on stdout."""

    def __init__(self, process: anyio.abc.Process, log: Path, liveness: int) -> None:
        self._process = process
        self._liveness = liveness
        self.pid = process.pid
        self.log = log
        self._interrupted = False

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while the process is not known to have exited."""
        return self._process.returncode

    @property
    def ended_well(self) -> bool:
        """Whether the process exited without an error.

        A program that does not catch the interrupt also ends well: Python cleans up, and exits by the signal.
        """
        return self.code == 0 or (self._interrupted and self.code == -signal.SIGINT)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of stdout until it closes, without an unfinished last line."""
        async for line in lines(self._process):
            yield line

    async def release_input(self) -> None:
        """Close the process's standard input."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()

    def release(self) -> None:
        """Tell the process that all clients have ended, so that it does not wait for open requests."""
        with suppress(OSError):  # it is gone
            os.write(self._liveness, RELEASE)

    def interrupt(self) -> None:
        """Ask the process to exit, with SIGINT."""
        self._interrupted = True
        send(self._process, signal.SIGINT)

    async def end(self) -> None:
        """Kill the process if it still runs."""
        send(self._process, signal.SIGKILL)
        await self._process.wait()

    async def ended(self) -> None:
        """Wait for the process to exit."""
        await self._process.wait()

    async def exit_report(self, patience: float = DYING) -> str | None:
        """Return the exit report: how the process ended and its last log lines; None if it still runs."""
        with anyio.move_on_after(patience):
            await self._process.wait()
        code = self._process.returncode
        if code is None:
            return None
        return "\n  ".join((ending(code), *last_words(self.log)))


async def lines(process: anyio.abc.Process) -> AsyncIterator[bytes]:
    """Yield the lines of a process's stdout until it closes, without an unfinished last line."""
    assert process.stdout is not None
    rest = b""
    async for chunk in process.stdout:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line


def send(process: anyio.abc.Process, number: signal.Signals) -> None:
    """Send a signal to *process* if it still runs.

    Not with its own methods: they poll the process first, and would reap the exit code that a waiter needs.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


@asynccontextmanager
async def traced(
    command: Callable[[Sequence[str]], list[str]],
    environment: Mapping[str, str],
    log: Path,
    cwd: str = "",
    *,
    events: bool = True,
    inherited: tuple[int, ...] = (),
) -> AsyncIterator[TracedProcess]:
    """Run a process under the engine; *command* receives the options for the liveness pipe.

    With *events*, the process emits events on stdout, and its stdin stays open. It inherits the descriptors
    *inherited*. On exit, all processes of its session are killed.

    Raises:
        RecordingFault: the working directory no longer exists.
    """
    if cwd and not os.path.isdir(cwd):  # noqa: PTH112 - unlike Path's, false for a name that cannot be
        raise RecordingFault(
            f"the working directory of the recording no longer exists: {cwd}",
            advice="Create it again, or record again.",
        )
    liveness, held = os.pipe()
    try:
        with log.open("ab") as output:
            process = await anyio.open_process(
                command(("--liveness-fd", str(liveness))),
                cwd=cwd or None,
                env=environment,
                stdin=subprocess.PIPE if events else subprocess.DEVNULL,
                stdout=subprocess.PIPE if events else output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
                pass_fds=(liveness, *inherited),
            )
        try:
            yield TracedProcess(process, log, held)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(END_LIMIT):
                send(process, signal.SIGKILL)
                await process.aclose()
            end_session(process.pid)
    finally:
        os.close(liveness)
        os.close(held)
