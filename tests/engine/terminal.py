"""A person at a terminal: starts a command in a pseudo terminal, waits for prompts, and types."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PROMPT = "(loadgen) "
LIMIT = 60.0
"""Seconds without a byte after which a command counts as hung."""


class Typed:
    """A ``loadgen`` command in a pseudo terminal."""

    def __init__(self, cwd: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadgen", *words],
            cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null", "COLUMNS": "200"},
        )  # fmt: skip
        os.close(slave)
        self.all = ""
        """Everything that was printed."""

    def until(self, text: str) -> str:
        """Read until the output ends with *text*, and return what came."""
        said = ""
        while not said.endswith(text):
            said += self._read(said)
        return said

    def type(self, line: str, until: str = PROMPT) -> str:
        """Type *line*, and return what is printed until the next prompt, without the echo."""
        os.write(self._master, f"{line}\n".encode())
        return self.until(until).partition("\n")[2].removesuffix(until)

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._master, key.encode())

    def interrupt(self) -> None:
        """Send what Ctrl-C sends, once the command waits or computes.

        CPython's readline loses a signal that comes between the last typed character and its wait for the
        next one; a person presses Ctrl-C again.
        """
        states = ""
        while not states.endswith(("SSSSS", "RRRRR")):
            states += Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2][0]
            time.sleep(0.01)
        os.kill(self._process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Read to the end; return the exit code, and what came."""
        said = ""
        try:
            while True:
                said += self._read(said)
        except EOFError:
            pass
        return self._process.wait(LIMIT), said

    def close(self) -> None:
        """End the command, if a test has failed before its end."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self, said: str) -> str:
        ready, _, _ = select.select([self._master], [], [], LIMIT)
        assert ready, f"nothing more came after:\n{self.all}"
        try:
            chunk = os.read(self._master, 4096).decode(errors="replace").replace("\r\n", "\n")
        except OSError:  # the other end is closed
            chunk = ""
        if not chunk:
            raise EOFError(said)
        self.all += chunk
        return chunk
