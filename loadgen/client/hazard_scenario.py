"""The scenario for the bundled server's hazards, and the HTTP service that some of them ask.

The service is part of the process that records, so it is gone when the run is verified.
"""

from __future__ import annotations

import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING

from loadgen.client.scenario import scenario

if TYPE_CHECKING:
    from loadgen.client.scenario import User

INDEX = "/hazards"
"""Path of the list of hazards; each hazard is below it."""


async def _index(user: User) -> None:
    """Request the list of the server's hazards."""
    index = await user.http.get(INDEX)
    user.data.update(hazards=[each["name"] for each in index.raise_for_status().json()], turn=0)


@scenario(setup=_index)
async def hazards(user: User) -> None:
    """Request each hazard that the bundled server serves with --hazards, with distinct parameters."""
    user.data["turn"] += 1
    query = {"user": user.id, "turn": user.data["turn"], "service": _service()}
    for name in user.data["hazards"]:
        await user.http.get(f"{INDEX}/{name}", params=query)


@cache
def _service() -> int:
    """Start the service, and return its port; it ends with this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class _Counting(BaseHTTPRequestHandler):
    """Answers with the number of earlier requests."""

    protocol_version = "HTTP/1.1"
    asked = count()

    def do_GET(self) -> None:
        body = str(next(self.asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
