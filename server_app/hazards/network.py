"""What other machines say: names, and HTTP services.

The service is on this machine, on the port that a request names; it counts what it is asked.
"""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

from flask import abort, request

from server_app.hazards.registry import hazard

NOBODY = 1
"""A port on which nothing listens."""


def _service() -> str:
    port = request.args.get("service", 0, int)
    if not port:
        abort(400, "name the port of a local HTTP service: ?service=PORT")
    return f"http://127.0.0.1:{port}/"


@hazard()
def name_found() -> object:
    """A name that is found: ``getaddrinfo``, ``gethostbyname``, and how long it took."""
    began = time.perf_counter()
    found = [socket.gethostbyname("localhost"), *socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)]
    return [found, socket.gethostname(), time.perf_counter() - began]


@hazard()
def name_not_found() -> object:
    """A name that is not found, and how long that took."""
    began = time.perf_counter()
    try:
        return socket.getaddrinfo("no-such-host.invalid", 80)
    except OSError as error:
        return [str(error), time.perf_counter() - began]


@hazard()
def http_urllib() -> object:
    """``urllib.request`` to a service that counts."""
    with urllib.request.urlopen(_service(), timeout=10) as answer:  # noqa: S310 - of this machine
        return [answer.read().decode(), answer.headers["Date"]]


@hazard()
def http_socket() -> object:
    """HTTP by hand, on a plain socket."""
    port = int(_service().rpartition(":")[2].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        mine = connection.getsockname()[1]
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    return [mine, received.decode()]


@hazard(needs="requests")
def http_requests() -> object:
    """``requests.get`` to a service that counts."""
    import requests  # noqa: PLC0415 - only where it is wanted

    answer = requests.get(_service(), timeout=10)
    return [answer.text, answer.headers["Date"], answer.elapsed.total_seconds()]


@hazard(needs="requests")
def http_requests_session() -> object:
    """A ``requests.Session``: two requests on one connection."""
    import requests  # noqa: PLC0415

    with requests.Session() as session:
        return [session.get(_service(), timeout=10).text for _ in range(2)]


@hazard(needs="httpx")
def http_httpx() -> object:
    """``httpx.get`` to a service that counts."""
    import httpx  # noqa: PLC0415

    answer = httpx.get(_service(), timeout=10, trust_env=False)
    return [answer.text, answer.headers["Date"]]


@hazard(needs="httpx")
def http_httpx_client() -> object:
    """A ``httpx.Client``: two requests on one connection."""
    import httpx  # noqa: PLC0415

    with httpx.Client(timeout=10, trust_env=False) as client:
        return [client.get(_service()).text for _ in range(2)]


@hazard()
def http_refused() -> object:
    """A service that is not there."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{NOBODY}/", timeout=10)
    except urllib.error.URLError as error:
        return [str(error), time.time()]
    return None
