"""What the shell gives a command: standard streams, and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadgen.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_streams() -> None:
    """Make the standard streams usable: what an encoding does not have is escaped, and a closed one is empty.

    In place of a closed one, the next file that is opened would get its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


@contextmanager
def interrupts() -> Iterator[None]:
    """Let Ctrl-C end the command with one line, wherever no session handles it.

    It raises no KeyboardInterrupt: typer hides that, and where it passes through an ``exec``, Python ends by
    the signal.
    """

    def interrupted(number: int, frame: object) -> None:
        del number, frame
        os.write(2, b"loadgen: interrupted\n")
        raise SystemExit(Interrupted.exit_code)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
