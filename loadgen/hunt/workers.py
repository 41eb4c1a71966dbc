"""Worker processes that do the jobs of trials, one process for each; see :mod:`loadgen.warm`.

A worker's results are in the files that it writes; here is only how it ended.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Self

import anyio
import msgspec

from loadgen import errors
from loadgen.core.events import Failed, from_line
from loadgen.core.jobs import FORKING, HEAD, Fork, Record, Verify
from loadgen.core.spec import to_json
from loadgen.engine.log import ending
from loadgen.errors import UsageError

GRACE = 25.0
"""Grace period in seconds for a worker to clean up after SIGTERM, before it is killed."""
LAST_WORDS = 3
"""Number of log lines quoted for a worker that failed unexpectedly."""


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """A worker that has exited."""

    name: str
    """What it did: ``record`` or ``verify``."""
    code: int | None
    """Its exit code, negative for a signal; None if its time was up, or if it is not known."""
    seconds: float
    events: Path
    log: Path
    is_known: bool = True
    """Whether it is known how it ended: not if the process that forked it was killed."""

    def failure(self) -> tuple[str, str, str]:
        """Return whose fault its failure is, why it failed, and what to do next, in its own words if any."""
        if self.failed is not None and self.code is not None:
            error = errors.from_event(self.failed.kind, self.failed.message, self.failed.advice)
            return error.fault, f"{self.name}: {error.message}", error.advice
        if not self.is_known:
            lost = f"{self.name}: the process that started its worker was killed"
            return errors.MachineFault.fault, lost, "Look for a limit of memory."
        if self.code is None:
            took = f"it took longer than {self.seconds:.0f} s, and was ended"
            return errors.HarnessFault.fault, f"{self.name}: {took}", ""
        last = (f"{self.name}: {ending(self.code)}", *_lines(self.log)[-LAST_WORDS:])
        return "unknown", "\n".join(last), f"See {self.log}."

    @property
    def failed(self) -> Failed | None:
        """Its report of a failure."""
        for line in reversed(_lines(self.events)):
            with suppress(ValueError):  # truncated
                if isinstance(event := from_line(line.encode()), Failed):
                    return event
        return None


class Workers:
    """Does jobs, each in a process of its own. Use it with ``async with``."""

    def __init__(self) -> None:
        self._asking: socket.socket | None = None
        self._warm: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process that forks the workers, once there is one."""
        return None if self._warm is None else self._warm.pid

    async def __aenter__(self) -> Self:
        """Return itself; nothing is started before the first job."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the process that forks workers; no worker runs any more."""
        self._end()

    def _end(self) -> None:
        if self._asking is not None:
            self._asking.close()
        if self._warm is not None:
            self._warm.kill()  # it has nothing to clean up
            self._warm.wait()
        self._asking = self._warm = None

    async def do(
        self, job: Record | Verify, folder: Path, limit: float, directory: str | None = None
    ) -> WorkerEnd:
        """Let a worker do *job* in *directory*, until it ends or *limit* seconds have passed.

        Its events and its log are written to *folder*. Cancelled, it ends the worker first, cleanly if that
        is possible; if this process is killed, the worker ends by itself.

        Raises:
            UsageError: the worker refused the job, as it would refuse it in every trial.
            OSError: *folder* cannot be written to, or *directory* does not exist.
        """
        began, name = monotonic(), "record" if isinstance(job, Record) else "verify"
        events, log = folder / f"{name}.jsonl", folder / f"{name}.log"
        if directory is not None:
            Path(directory).stat()
        with ExitStack() as held:
            liveness, kept = os.pipe()  # its standard input: a worker exits when this process does
            heard, report = os.pipe()
            for one in (kept, heard):
                held.callback(os.close, one)
            with ExitStack() as passed:
                for one in (liveness, report):
                    passed.callback(os.close, one)
                files = [passed.enter_context(path.open("wb")).fileno() for path in (events, log)]
                asked = Fork(to_json(job).decode(), directory)
                self._ask(msgspec.json.encode(asked), [liveness, *files, report])
            worker = _Worker(heard)
            try:
                with anyio.move_on_after(limit):
                    await worker.wait()
                code = worker.code
            finally:
                await worker.end()
        took = round(monotonic() - began, 3)
        ended = WorkerEnd(name, code, took, events, log, is_known=not worker.is_lost)
        if code == UsageError.exit_code and (said := ended.failed) is not None:
            raise UsageError(said.message, advice=said.advice)  # the user called another command
        return ended

    def _ask(self, message: bytes, descriptors: list[int]) -> None:
        try:
            self._send(message, descriptors)
        except (BrokenPipeError, ConnectionResetError):  # it was killed
            self._end()
            self._send(message, descriptors)

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        if self._warm is None:
            self._start()
        assert self._asking is not None
        socket.send_fds(self._asking, [len(message).to_bytes(HEAD)], descriptors)
        self._asking.sendall(message)

    def _start(self) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            # -P: something named loadgen in the working directory must not be imported
            self._warm = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", FORKING, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )


class _Worker:
    """A forked worker, known by what is reported of it: its number, then its exit code."""

    def __init__(self, heard: int) -> None:
        self._heard = heard
        self._report = b""
        self._over = False

    @property
    def _numbers(self) -> list[int]:
        return [int(one) for one in self._report.split(b"\n")[:-1]]

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs, or if it is not known."""
        match self._numbers:
            case [_, code]:
                return code
        return None

    @property
    def is_lost(self) -> bool:
        """Whether it will never be known how it ended."""
        return self._over and self.code is None

    async def wait(self) -> None:
        """Wait until it has ended."""
        while not self._over:
            await self._more()

    async def _more(self) -> None:
        await anyio.wait_readable(self._heard)
        piece = os.read(self._heard, 64)
        self._report += piece
        self._over = not piece or len(self._numbers) > 1

    async def end(self) -> None:
        """End it if it still runs: interrupt twice, and then kill."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(GRACE):
                while not self._numbers and not self._over:  # it is about to be forked
                    await self._more()
                for number in () if self._over else (signal.SIGINT, signal.SIGTERM):
                    self._send(number)
                await self.wait()
            if self._numbers and not self._over:
                self._send(signal.SIGKILL, group=True)
                await self.wait()

    def _send(self, number: signal.Signals, *, group: bool = False) -> None:
        pid, *_ = self._numbers
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, number)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
