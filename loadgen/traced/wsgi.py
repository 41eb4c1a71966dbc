"""Serves a WSGI callable that comes without a server: by wsgiref, with a thread for each connection.

It is imported under the engine, because it is part of the traced application.
"""

from __future__ import annotations

from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref import simple_server

if TYPE_CHECKING:
    from collections.abc import Callable


class Server(ThreadingMixIn, simple_server.WSGIServer):
    """The standard library's WSGI server, with threads."""

    daemon_threads = True
    request_queue_size = 1024


def serve(application: Callable[..., Any]) -> None:
    """Serve *application* until the process is stopped."""
    simple_server.make_server("127.0.0.1", 0, application, server_class=Server).serve_forever()
