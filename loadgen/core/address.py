"""Addresses: where a listening socket can be reached."""

from __future__ import annotations

import ipaddress


def reached_at(host: str) -> str:
    """Return the host of a URL under which this machine reaches a socket that listens on *host*."""
    if host in {"0.0.0.0", ""}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a socket that listens on the address *host*."""
    return ipaddress.ip_address(host).is_loopback
