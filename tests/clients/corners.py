"""Corner cases of HTTP/1, as bytes: a client that is not a library. Usage: corners.py URL"""

from __future__ import annotations

import socket
import sys
import time
from urllib.parse import urlsplit

HOST = b"Host: shop.example\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"


def post(body: bytes, headers: bytes = JSON) -> bytes:
    """Return a request with a body."""
    return b"POST /api/users HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


CASES = (
    b"GET /health HTTP/1.0\r\n\r\n",
    b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /api/stats HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS /api/users HTTP/1.1\r\n" + HOST + b"\r\n",
    b"DELETE /api/users HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PURGE /api/users HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /api/stats?q=%20+%7e&q=&a[]=1 HTTP/1.1\r\nhOST: x\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1; b=2\r\n\r\n",
    b"GET /%61pi/stats/../stats HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET //api//stats HTTP/1.1\r\n" + HOST + b"\r\n",
    post(b"", HOST),
    post(b'{"name":"a","email":"\xc3\xa9"}'),
    b"POST /api/users HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % JSON
    + b'8\r\n{"name":\r\n10\r\n"b","email":"c"}\r\n0\r\n\r\n',
    post(b'{"name":"%b","email":"d"}' % (b"x" * 200_000)),
    post(b"{}", JSON + b"Expect: 100-continue\r\n"),
    b"GET /health HTTP/1.1\r\n" + HOST + b"\r\nGET /api/stats HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"\r\n\r\nGET /health HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /__loadgen__/order HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\x16\x03\x01\x00\x10hello",
    b"POST /api/users HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
)
REFUSED = 3


def main() -> None:
    """Send each case on a connection of its own, say that nothing more comes, and read to the end."""
    there = urlsplit(sys.argv[1])
    for case in CASES:
        with socket.create_connection((there.hostname or "", there.port or 80), 30) as connection:
            connection.sendall(case)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            sys.stdout.write(f"{answer[:20]!r} {case[:60]!r}\n")
            assert answer.startswith(b"HTTP/1."), answer
    with socket.create_connection((there.hostname or "", there.port or 80), 30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
