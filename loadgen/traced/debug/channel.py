"""The conversation with the terminal, whose process drives the replay: JSON, one object a line.

To the terminal: ``text`` to print; ``ask``, the prompt of a line to read; ``completions``; ``again``, the
plan of a replay to start instead of this one; ``quit``. From it: ``line``; ``complete``, to be answered;
``interrupt``.

A thread reads all the time, so that Ctrl-C can stop a request that runs. All functions are captured before
the engine replaces them.
"""

from __future__ import annotations

import json
import os
import threading
from _queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from loadgen.traced.tape import LiveLock, TapeTurns

if TYPE_CHECKING:
    from collections.abc import Callable

    Complete = Callable[[str, str, int], list[str]]


class Channel:
    """One end of a socket."""

    def __init__(self, descriptor: int) -> None:
        self._read, self._write = os.read, os.write
        self._descriptor = descriptor
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._get = self._messages.get
        self._mutex = LiveLock()
        self._rest = ""
        self.interrupted = False
        """Whether Ctrl-C was pressed while nothing was asked; who stops for it resets this."""
        self.completer: Complete = lambda *_: []
        """Completes a word of the answer: given the word, its line, and where in it the word begins."""
        threading.Thread(target=self._listen, name="loadgen-debugger", daemon=True).start()

    def _listen(self) -> None:
        rest = b""
        while chunk := self._read(self._descriptor, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "interrupt" in said:
                    self.interrupted = True
                else:
                    # Here, and not where the line is used: Ctrl-C right after it is for what the line starts.
                    self.interrupted = self.interrupted and "line" not in said
                    self._messages.put(said)

    def tell(self, **said: object) -> None:
        """Send a message."""
        data = json.dumps(said).encode() + b"\n"
        with self._mutex:
            while data:
                data = data[self._write(self._descriptor, data) :]

    def write(self, text: str) -> None:
        """Print *text*; what does not end with a newline is the prompt of the next question."""
        self._rest += text
        whole, newline, rest = self._rest.rpartition("\n")
        if newline:
            self._rest = rest
            self.tell(text=whole + newline)

    def flush(self) -> None:
        """Do nothing: lines are sent at once."""

    def readline(self) -> str:
        """Ask for a line; it is empty at the end of the input.

        Meanwhile the patience of threads that wait for their turns does not run out.
        """
        prompt, self._rest = self._rest, ""
        tape = TapeTurns.current
        tape.held = True
        try:
            self.tell(ask=prompt)
            while True:
                said = self._get()
                if "line" in said:
                    return str(said["line"])
                self.tell(completions=self.completer(*said["complete"]))
        finally:
            tape.held = False

    def end(self, **said: object) -> None:
        """Send a last message: the terminal ends this process."""
        self.tell(**said)
        while True:
            self._get()
