"""Runs the client's command, and keeps its output and exit code. Neither affects a verdict."""

from __future__ import annotations

import codecs
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

import anyio

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from anyio.abc import Process

URL = "{url}"
"""Placeholder for the gateway's URL in a command."""
VARIABLE = "LOADGEN_URL"
"""The environment variable with the gateway's URL."""
END_LIMIT = 5.0
"""Seconds that an interrupted client has to exit."""
OUTPUT_LIMIT = 1.0
"""Seconds to read the rest of an exited client's output, because its children may keep the pipe open."""


class RunningClient(Protocol):
    """A running client."""

    @property
    def code(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it runs."""

    async def ended(self) -> None:
        """Wait until it has ended."""


Run = Callable[[str], "AbstractAsyncContextManager[RunningClient]"]
"""Starts a client of the server at a URL, and ends it afterwards."""
_SHELL = re.compile(r"[|&;<>()`$]")


def program(command: str) -> tuple[list[str], list[str]]:
    """Return the variables that *command* sets, and its words.

    Raises:
        UsageError: it is more than one program with its arguments.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--client {command}: {error}") from error
    variables = list(takewhile(re.compile(r"[A-Za-z_]\w*=").match, words))
    words = words[len(variables) :]
    if not words or _SHELL.search(re.sub(r"'[^']*'", "", command)):
        raise UsageError(
            f"--trace client traces one Python program, and --client {command} is not one",
            advice="Give a script: --client 'python client.py'",
        )
    return variables, words


class Command:
    """A client that the shell runs; see :class:`RunningClient`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def code(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it runs."""
        return self._process.returncode

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group, which includes its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


@asynccontextmanager
async def running(command: str, url: str, output: Path, say: Callable[[str], None]) -> AsyncIterator[Command]:
    """Run *command* in the shell, and end it afterwards; its output goes to the file *output* and to *say*.

    Raises:
        UsageError: there is no shell.
    """
    try:
        process = await anyio.open_process(
            ["/bin/sh", "-c", command.replace(URL, url)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: url, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"the client cannot be run: {error}") from error
    one = Command(process)
    async with process, anyio.create_task_group() as reading:
        finished = anyio.Event()
        reading.start_soon(_read, process, output, say, finished)
        try:
            yield one
        finally:
            with anyio.CancelScope(shield=True):
                if one.code is None:
                    one.signal(signal.SIGINT)
                    with anyio.move_on_after(END_LIMIT):
                        await one.ended()
                one.signal(signal.SIGKILL)  # its children too
                await one.ended()
                with anyio.move_on_after(OUTPUT_LIMIT):
                    await finished.wait()
            reading.cancel_scope.cancel()


async def _read(process: Process, output: Path, say: Callable[[str], None], finished: anyio.Event) -> None:
    assert process.stdout is not None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    line = ""
    with output.open("ab", buffering=0) as file:
        async for data in process.stdout:
            file.write(data)
            *lines, line = (line + decoder.decode(data)).split("\n")
            for one in lines:
                say(one.rstrip("\r"))
    if line:
        say(line)
    finished.set()
