"""The stop of a recorded server: an interrupt that a request catches is not lost."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

import pytest

from loadgen.traced import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopping.by_signals(records=True)
    yield
    stopping._asked.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


class Once:
    """A WSGI application that is interrupted while its server, in the main thread, sends the answer."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        del environ
        start_response("200 OK", [])
        yield b"piece"
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", ["serve_forever", "handle_request"])
def test_interrupt_in_a_request_stops_the_server(loop: str, number: signal.Signals) -> None:
    """wsgiref takes the interrupt for an error of the request; the loop is left all the same."""
    with make_server("127.0.0.1", 0, Once(number)) as server:
        client = threading.Thread(target=ask, args=(server.server_port,))
        client.start()
        with pytest.raises(KeyboardInterrupt):
            getattr(stopping.not_lost(server), loop)()
        client.join()


def test_another_handler_first() -> None:
    """What a server's worker has to do at a stop is done before the interrupt."""
    done: list[str] = []
    stopping.also(lambda: done.append("worker"))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert done == ["worker"]


def ask(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        while sock.recv(1000):
            pass
