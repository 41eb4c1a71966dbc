"""A person at an editor: speaks the Debug Adapter Protocol, as VS Code does."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

LIMIT = 60.0
"""Seconds without a message after which the adapter counts as hung."""


class Editor:
    """A connection to a debug adapter on this machine."""

    def __init__(self, port: int) -> None:
        """Connect as soon as something listens on *port*."""
        until = time.monotonic() + LIMIT
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
                break
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self._stream = self._socket.makefile("rb")
        self._asked = 0
        self._told: list[dict[str, Any]] = []

    def attach(self, breakpoints: dict[str, list[int]]) -> None:
        """Attach with *breakpoints*, lines by file."""
        self.ask("initialize", adapterID="debugpy", pathFormat="path", linesStartAt1=True)
        attaching = self._send("attach", {"justMyCode": False, "subProcess": False})
        self.told("initialized")
        for path, lines in breakpoints.items():
            self.ask(
                "setBreakpoints", source={"path": path}, breakpoints=[{"line": number} for number in lines]
            )
        self.ask("configurationDone")
        self._answer(attaching)

    def stopped(self) -> tuple[int, dict[str, Any]]:
        """Wait until a thread stops; return its number and its innermost frame.

        Raises:
            EOFError: the program has ended.
        """
        told = self.told("stopped", "terminated")
        if told["event"] == "terminated":
            raise EOFError
        thread = told["body"]["threadId"]
        return thread, self.ask("stackTrace", threadId=thread, levels=1)["stackFrames"][0]

    def variables(self, frame: dict[str, Any]) -> dict[str, str]:
        """Return the local variables of *frame* as they are shown."""
        (scope, *_) = self.ask("scopes", frameId=frame["id"])["scopes"]
        shown = self.ask("variables", variablesReference=scope["variablesReference"])["variables"]
        return {one["name"]: one["value"] for one in shown}

    def evaluate(self, expression: str, frame: dict[str, Any]) -> str:
        """Return what the debug console answers."""
        answer = self.ask("evaluate", expression=expression, frameId=frame["id"], context="repl")
        return str(answer["result"])

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a request, and return the body of its answer."""
        return self._answer(self._send(command, arguments))

    def told(self, *events: str) -> dict[str, Any]:
        """Wait for one of *events*."""
        while True:
            for one in self._told:
                if one.get("event") in events:
                    self._told.remove(one)
                    return one
            self._told.append(self._read())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._socket.close()

    def _send(self, command: str, arguments: dict[str, Any]) -> int:
        self._asked += 1
        message = {"seq": self._asked, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        return self._asked

    def _answer(self, number: int) -> dict[str, Any]:
        while True:
            for one in self._told:
                if one["type"] == "response" and one["request_seq"] == number:
                    self._told.remove(one)
                    assert one["success"], one
                    return dict(one.get("body") or {})
            self._told.append(self._read())

    def _read(self) -> dict[str, Any]:
        length = 0
        while (line := self._stream.readline()).strip() or not length:
            if not line:
                raise EOFError
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        found: dict[str, Any] = json.loads(self._stream.read(length))
        return found
