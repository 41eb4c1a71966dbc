"""Servers run live, untraced, on the socket that loadgen chose; the application behind them is traced.

Each function is a ``system_wrap`` of the overlay: it gets the server's own entry point and the engine's
``system``, and returns what the application will call instead.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from loadgen.traced import settings
from loadgen.traced.boundary import Boundary

if TYPE_CHECKING:
    from collections.abc import Callable


def run_simple(target: Callable[..., None], system: Any) -> Callable[..., None]:
    """``werkzeug.serving.run_simple``: Flask's ``app.run()`` and ``flask run``.

    Always threaded, plain HTTP, without reloader and debugger: those start a second process, and answer with
    addresses of this one.
    """
    werkzeug = sys.modules[target.__module__]
    parameters = inspect.signature(target)

    def listen(application: Any, given: dict[str, Any]) -> None:
        here = settings.CURRENT
        host, port = here.bind or ("127.0.0.1", 0)
        werkzeug.make_server(
            host,
            port,
            application,
            threaded=True,
            request_handler=given.get("request_handler"),
            fd=None if here.socket_fd < 0 else here.socket_fd,
        ).serve_forever()

    live = system.disable_for(listen, unwrap_args=False)

    def serve(*args: Any, **kwargs: Any) -> None:
        given = parameters.bind(*args, **kwargs).arguments
        live(Boundary(given["application"], system), given)

    return serve
