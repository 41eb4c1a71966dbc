"""Serves a WSGI callable that comes without a server: by wsgiref, with a thread for each connection.

It is imported under the engine, because it is part of the traced application.
"""

from __future__ import annotations

import io
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref import simple_server

from loadgen.traced.input import dechunked

if TYPE_CHECKING:
    from collections.abc import Callable


class Server(ThreadingMixIn, simple_server.WSGIServer):
    """The standard library's WSGI server, with threads."""

    daemon_threads = True
    request_queue_size = 1024


class Handler(simple_server.WSGIRequestHandler):
    """Gives the application a body that ends, as every server for production does.

    The standard library gives it the connection, with the chunks of a chunked body as they are.
    """

    def parse_request(self) -> bool:
        """Read the head of a request, and its body, if that is chunked."""
        if not super().parse_request():
            return False
        coding = self.headers.get("transfer-encoding", "").strip().lower()
        length = self.headers.get("content-length") or ""
        body = b""
        if coding == "chunked":
            try:
                body = dechunked(self.rfile)
            except ValueError as error:
                self.send_error(400, str(error))
                return False
        elif length.isascii() and length.isdigit():
            body = self.rfile.read(int(length))
        self.rfile = io.BytesIO(body)
        return True

    def get_environ(self) -> dict[str, Any]:
        """Return the variables of the request."""
        return {**super().get_environ(), "wsgi.input_terminated": True}


def serve(application: Callable[..., Any], handler: type[Handler] = Handler) -> None:
    """Serve *application* until the process is stopped."""
    simple_server.make_server(
        "127.0.0.1", 0, application, server_class=Server, handler_class=handler
    ).serve_forever()
