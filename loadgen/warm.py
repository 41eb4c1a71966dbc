"""Forks workers: ``python -m loadgen.warm DESCRIPTOR`` imports once what all of them need.

A worker forked here (:mod:`loadgen.worker`) does one job in its own process, as a started one does, and saves
its first half second. This process has no threads, open files or event loops, so that a fork copies only
modules.

The descriptor is a socket. Each message on it asks for one worker: its length, with four descriptors, and
then JSON (:class:`loadgen.core.jobs.Fork`). The descriptors become the worker's standard input, output and
error; the fourth is a pipe for two lines, the worker's process number and later its exit code, negative for a
signal. When the socket closes, this process exits; workers end when their standard input closes.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec

from loadgen import worker
from loadgen.core.jobs import HEAD, Fork, Job
from loadgen.core.spec import from_json

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTORS = 4
IMPORTED = (
    "anyio._backends._asyncio",
    "encodings.ascii",
    "loadgen.cli.running",
    "loadgen.client.replay",
    "loadgen.client.scenario_file",
    "loadgen.client.traffic.playing",
    "loadgen.dispatch",
    "loadgen.modes.firing",
    "loadgen.modes.local_server",
    "loadgen.record",
    "loadgen.statements",
    "loadgen.verify",
    "structlog",
)
"""What recording and verifying import; a name that is missing here only costs time."""


class _Forks:
    """The workers that run; ``wake`` becomes readable when one has ended."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._reports: dict[int, int] = {}
        self._wake, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only handled signals write to the descriptor
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def until_worker(self) -> Fork | None:
        """Fork as asked. Return what to do in each worker, and None here, when nobody can ask any more."""
        while True:
            ready, _, _ = select.select([self._asked.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._report_ended()
            if self._asked.fileno() not in ready:
                continue
            asked = self._receive()
            if asked is None:
                return None
            what, descriptors = asked
            *standard, report = descriptors
            if pid := os.fork():
                _tell(report, pid)
                self._reports[pid] = report
                for one in standard:
                    os.close(one)
                continue
            self._leave(report)
            _become(standard)
            return what

    def _receive(self) -> tuple[Fork, list[int]] | None:
        head, descriptors, _, _ = socket.recv_fds(self._asked, HEAD, DESCRIPTORS)
        if not head:
            return None
        content = self._exactly(int.from_bytes(head + self._exactly(HEAD - len(head))))
        return msgspec.json.decode(content, type=Fork), descriptors

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size and (piece := self._asked.recv(size - len(content))):
            content += piece
        return content

    def _report_ended(self) -> None:
        while self._reports:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            report = self._reports.pop(pid)
            _tell(report, os.waitstatus_to_exitcode(status))
            os.close(report)

    def _leave(self, report: int) -> None:
        """In a worker: close what belongs to this process alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._asked.close()
        for one in (report, self._wake, self._wakes, *self._reports.values()):
            os.close(one)


def _tell(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(report, b"%d\n" % number)


def _become(standard: Sequence[int]) -> None:
    os.setsid()  # whoever asked passes on a Ctrl-C at the terminal
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)


def main(words: Sequence[str]) -> int:
    """Fork workers until the socket closes; return the exit code, in each worker that of its job."""
    with socket.socket(fileno=int(words[0])) as asked:
        for name in IMPORTED:
            import_module(name)
        gc.freeze()  # a collection in a worker would touch, and so copy, all of it
        what = _Forks(asked).until_worker()
    if what is None:
        return 0
    if what.directory is not None:
        os.chdir(what.directory)
    return worker.do(from_json(what.job, Job))  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
