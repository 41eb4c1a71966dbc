"""Ends a server that cannot be recorded."""

from __future__ import annotations

from typing import NoReturn

from loadgen import protocol


def refuse(why: str, what_to_do: str) -> NoReturn:
    """End this process with a line in the server's log, which ``loadgen record`` shows."""
    raise SystemExit(f"{protocol.LOG_REFUSAL}{why}; {what_to_do}") from None
