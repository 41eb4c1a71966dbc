"""Decides which requests the gateway accepts: those that can be sent again unchanged to this server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from loadgen.core.http1 import Refused, RequestHead

if TYPE_CHECKING:
    from collections.abc import Collection

OURS = "x-loadgen-"
"""Prefix of loadgen's own headers."""
CONTROL = "/__loadgen__/"
"""Prefix of the request boundary's own paths."""
FOR_THE_PROXY = re.compile(rb"(?im)^proxy-(?:connection|authorization):[^\n]*\n")
"""Header lines that a client addresses to the gateway as a proxy."""

_ABSOLUTE = re.compile(r"http://(?:[^/?#@]*@)?([^/?#]*)(.*)", re.IGNORECASE)


class Admission:
    """Refuses what cannot be recorded; *hosts* are those for which the gateway acts as a proxy."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = {host.lower() for host in hosts}

    def add(self, host: str) -> None:
        """Also act as a proxy for *host*."""
        self._hosts.add(host.lower())

    def target(self, head: RequestHead) -> str:
        """Return the target under which the server gets the request.

        Raises:
            Refused: it is not for this server.
        """
        target = head.target
        if head.method == "CONNECT":
            raise Refused(405, "CONNECT: the gateway opens no tunnels")
        if not target.startswith("/") and not (target == "*" and head.method == "OPTIONS"):
            target = self._of_proxy(target)
        if "__loadgen__" in (path := unquote(target)) and f"/{path.lstrip('/')}".startswith(CONTROL):
            raise Refused(404, "a path of loadgen's own")
        for name, _ in head.headers:
            # A server passes header names on in one case, and may treat _ as -.
            if name[0] in "xX" and name.lower().replace("_", "-").startswith(OURS):
                raise Refused(400, "a header of loadgen's own")
        return target

    def _of_proxy(self, target: str) -> str:
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise Refused(400, "a target that is neither a path nor an http:// URL")
        host = found[1].lower()
        if host not in self._hosts and host.rpartition(":")[0] not in self._hosts:
            raise Refused(421, "a URL of another host: name it with --proxy-for if it is this server's")
        rest = found[2]
        return rest if rest.startswith("/") else f"/{rest}"
