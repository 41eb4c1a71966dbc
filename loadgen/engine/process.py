"""Processes under the engine: what they print, how they ended, and that none outlives us.

A liveness pipe, which only we hold open, ends when we do: even ``kill -9`` leaves no orphan.
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
"""Seconds from a process's last sign of life to its end, as the operating system tells it."""
END_LIMIT = 20.0
"""Seconds that a process may take to end, once it is told to."""


class Traced:
    """A process; its output goes to its log, except for the events that it may emit on stdout."""

    def __init__(self, process: anyio.abc.Process, log: Path) -> None:
        self._process = process
        self.pid = process.pid
        self.log = log
        self._interrupted = False

    @property
    def code(self) -> int | None:
        """Its exit code, negative where a signal killed it; none if it has not ended, as far as we know."""
        return self._process.returncode

    @property
    def ended_well(self) -> bool:
        """Whether it came to its end by itself, and without an error.

        A program that does not catch its interruption ends well: Python cleans up, and dies of the signal.
        """
        return self.code == 0 or (self._interrupted and self.code == -signal.SIGINT)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of its stdout until that ends; an unfinished last one is left out."""
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line

    async def release_input(self) -> None:
        """Close its standard input."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()

    def interrupt(self) -> None:
        """Ask it to end by itself."""
        self._interrupted = True
        send(self._process, signal.SIGINT)

    async def end(self) -> None:
        """End it at once, if it still runs."""
        send(self._process, signal.SIGKILL)
        await self._process.wait()

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    async def exit_report(self, patience: float = DYING) -> str | None:
        """Say how it ended, and its last words; nothing if it still runs after *patience* seconds."""
        with anyio.move_on_after(patience):
            await self._process.wait()
        code = self._process.returncode
        if code is None:
            return None
        return "\n  ".join((ending(code), *last_words(self.log)))


def send(process: anyio.abc.Process, number: signal.Signals) -> None:
    """Send a signal to *process* if it still runs.

    Its own methods would look first whether it has ended, and so take its exit code from who waits for that.
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
) -> AsyncIterator[Traced]:
    """Run a process under the engine; *command* is given the options that tie its life to ours.

    With *events* it emits events on stdout, and we hold its stdin. It gets the descriptors *inherited*.
    Whatever it started in its session ends with it.

    Raises:
        RecordingFault: the directory to run it in is gone.
    """
    if cwd and not os.path.isdir(cwd):  # noqa: PTH112 - unlike Path's, false for a name that cannot be
        raise RecordingFault(
            f"the directory that was recorded in is gone: {cwd}", advice="Make it again, or record again."
        )
    lifeline, held = os.pipe()
    try:
        with log.open("ab") as output:
            process = await anyio.open_process(
                command(("--lifeline-fd", str(lifeline))),
                cwd=cwd or None,
                env=environment,
                stdin=subprocess.PIPE if events else subprocess.DEVNULL,
                stdout=subprocess.PIPE if events else output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
                pass_fds=(lifeline, *inherited),
            )
        try:
            yield Traced(process, log)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(END_LIMIT):
                send(process, signal.SIGKILL)
                await process.aclose()
            end_session(process.pid)
    finally:
        os.close(lifeline)
        os.close(held)
