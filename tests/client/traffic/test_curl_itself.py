"""The requests are those that curl sends: both are captured on the wire and compared.

Every command here is accepted. What may differ is named in ``comparable``: the version in ``User-Agent``,
what curl was built to decompress, the random boundary of a form, and the number that loadgen adds.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.session import fire
from loadgen.client.traffic.file import read
from loadgen.client.traffic.playing import playing
from loadgen.core.stop import Stop
from loadgen.store.journal import Journal
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from tests.client.raw_server import RawServer

pytestmark = [
    pytest.mark.slow,  # a process for each command
    pytest.mark.once,
    pytest.mark.anyio,
    pytest.mark.skipif(
        shutil.which("curl") is None or shutil.which("bash") is None, reason="curl is not installed"
    ),
]

COMMANDS = r"""
curl http://h/a?b=1
curl 'http://h'
curl 'http://h?q'
curl h/a
curl http:/h/a
curl http://h/#frag
curl 'http://h/a%2Fb/*;(~)?@'
curl 'http://h/a/./b/../c//d?x=/../y'
curl 'http://h/..'
curl 'http://h/a/.'
curl 'http://h/.hidden/x'
curl 'http://h/a//../b'
curl 'http://h//a/../b'
curl 'http://h/%2e%2e/a/%2E/b'
curl --path-as-is http://h/a/./b/../c
curl -g 'http://h/[1-2]{a,b}'
curl 'http://h/?a[]=1'
curl 'http://h/é?q=é'
curl 'http://h/a?x|y"<>^`'
curl http://h/ --request-target /abs?x
curl http://h/ --url http://h/b
curl http://h/ http://h/b -d a
curl -- http://h/a
curl http://h/ -H 'A: 1' -H'B:2' --header 'a: 3'
curl http://h/ -H 'accept: text/html' -A me
curl http://h/ -H 'Accept:' -H 'User-Agent:' -H 'X;'
curl http://h/ -H 'Accept;'
curl http://h/ -H 'Y: 3' -H 'Y:'
curl http://h/ -H 'X:  v  ' -H 'Y:' -H 'Y: 3'
curl http://h/ -H @heads.txt
curl http://h/ -H 'X: é'
curl http://h/ -H 'X-Empty: '
curl http://h/ -A ''
curl http://h/ -A me -H 'User-Agent: x'
curl http://h/ -A '' -H 'User-Agent: x'
curl http://h/ -e http://r/
curl http://h/ -e ''
curl http://h/ -e 'r;auto'
curl http://h/ -e r1 -e r2 -A x -A y
curl http://h/ -e r -H 'Referer: s'
curl http://h/ -b 'a=1; b=2'
curl http://h/ -b a=1 -b b=2
curl http://h/ -b a=1 -H 'Cookie: z=9'
curl http://h/ -H 'Cookie: z=9' -H 'Cookie: y=8'
curl http://h/ -H 'Cookie:' -b a=1
curl http://h/ -b ''
curl http://h/ -b 'a=1;b=2; '
curl http://h/ -b a=1 -b ''
curl -u me:pass:word http://h/
curl http://h/ -u :pw
curl http://h/ -u me:
curl http://h/ -u a:b -u c:d
curl http://h/ -u me:pw -H 'Authorization: x'
curl http://h/ -u a:b --oauth2-bearer t
curl http://h/ --oauth2-bearer t -H 'Authorization: x'
curl http://me:pw@h/
curl http://m%65:p%3Aw@h/
curl http://me@h/
curl http://me:pw@h/ -u a:b
curl -u 'é:ü' http://h/
curl -r 0-9 http://h/
curl --range 600 http://h/
curl -r -600 http://h/
curl -r 0-9,20-30 http://h/
curl -r 0-9 -H 'Range: bytes=1-2' http://h/
curl --compressed http://h/
curl --compressed --no-compressed http://h/
curl --compressed -H 'Accept-Encoding: gzip' http://h/
curl -I http://h/
curl -I -X GET http://h/
curl -X POST http://h/
curl -XDELETE --url http://h/a
curl -sS -XPOST -H'A: b' http://h/ -dx
curl http://h/ -d a=1 -d b=2
curl -X PUT http://h/ -d ''
curl http://h/ -d '' -d ''
curl http://h/ -d '' -d a
curl http://h/ --data-raw ''
curl http://h/ -H 'content-type: text/plain' --data-raw @x
curl http://h/ -d a -H 'Content-Type:'
curl http://h/ -d a -H 'Content-Type;'
curl http://h/ -d a -H 'content-type: x' -H 'Content-Type: y'
curl http://h/ --data-raw $'------WebKit\r\nx\r\n'
curl http://h/ -d @body.txt -d x
curl http://h/ --data-ascii @body.txt
curl http://h/ --data-binary x --data-binary @body.txt
curl http://h/ --data-binary @photo.png
curl http://h/ --data-urlencode 'q=a b&~' --data-urlencode '=x y' --data-urlencode 'n@body.txt'
curl http://h/ --data-urlencode a --data-urlencode a=@b --data-urlencode '@body.txt' --data-urlencode 'x y='
curl http://h/ --data-urlencode 'a=é~!*()_-.+'
curl http://h/ --data-urlencode ''
curl http://h/ --json '{"a":' --json ' 1}'
curl http://h/ --json @body.txt
curl http://h/ --json '{}' -H 'Content-Type: a/b' -H 'Accept: c/d'
curl http://h/ --json '{}' -H 'Accept:' -H 'X: 1'
curl http://h/ --json '{}' -d b=1
curl http://h/ -d b=1 --json '{}'
curl http://h/ --json '{}' -X GET
curl -G http://h/?x=1 -d 'a=b%20c' -d d
curl -G 'http://h/?' -d a=b
curl -G 'http://h/?x#f' -d a=b
curl -G http://h/ -d ''
curl -G http://h/ --json '{}'
curl -G -I http://h/ -d a=b
curl -G http://h/ -F a=b
curl http://h/ -d a -G -X POST
curl http://h/ -F 'name=Zoë' -F 'a=b;type=x/y' -F 'c=d=e' -F 'f='
curl http://h/ -F 'a=@photo.png' -F 'b=@a b.PDF' -F c=@x.jpeg -F d=@noext -F e=@body.txt
curl http://h/ -F 'a=@photo.png;filename="q\"u\\o.txt"'
curl http://h/ -F 'a=@photo.png;filename=x"y.html'
curl http://h/ -F 'a=@photo.png;filename=z'
curl http://h/ -F 'a=@noext;filename=z'
curl http://h/ -F 'a=@"photo.png";type=image/x; charset=y;filename=z'
curl http://h/ -F 'a=@photo.png;filename=z;type=image/x'
curl http://h/ -F 'a=@photo.png; type=image/x ; filename= z '
curl http://h/ -F 'a=b;type=text/plain;charset=utf-8'
curl http://h/ -F 'a=b;type=text/plain'
curl http://h/ -F 'a=b; type=text/x'
curl http://h/ -F 'a= b ' -F 'c="b;c"' -F 'd="e"f'
curl http://h/ -F 'a=b;filename=f.txt'
curl http://h/ -F 'a=b;filename=f'
curl http://h/ -F 'a=<body.txt' -F 'b=<body.txt;type=text/x'
curl http://h/ -F '=b' -F 'a"b=1'
curl http://h/ -F 'é"\=1' --form-escape
curl http://h/ --form-string 'a=@photo.png;type=x' -F b=1
curl http://h/ -F a=b -H 'Content-Type: multipart/form-data'
curl http://h/ -F a=b -H 'Content-Type: multipart/form-data; boundary=xyz'
curl http://h/ -F a=b -H 'X: 1' -H 'Content-Type: text/plain' -H 'Y: 2'
curl http://h/ -F a=b -H 'Content-Type:'
curl -X PUT http://h/ -F a=b
curl -k -s --max-time 5 -o out http://h/
curl -vkso out http://h/
curl -L http://h/r302 -d a=b -b c=1 -H 'X: 1' -u a:b
curl -L http://h/r301 -d a=b
curl -L http://h/r303 -d a=b
curl -L http://h/r307 -d a=b
curl -L http://h/r308 -d a=b
curl -L -X POST http://h/r302 -d a=b
curl -L -X PUT http://h/r303 -d a=b
curl -L -X DELETE http://h/r303
curl -L -X DELETE http://h/r302
curl -L -X POST http://h/r301
curl -L --post302 http://h/r302 -d a=b
curl -L --post301 --post303 http://h/r303 -d a=b
curl -L --post301 http://h/r302 -d a=b
curl -L -I http://h/r303
curl -L http://h/r302 -F a=b -H 'Content-Type: multipart/form-data'
curl -L http://h/r302 -d a=b -H 'Content-Type: x/y'
curl -L http://h/r302 --json '{}'
curl -L http://h/r302 -G -d a=b
curl -L -r 0-5 http://h/r302
curl -L http://h/r302 -e 'r;auto'
curl -L http://h/r302 -e ';auto'
curl -L http://h/r302 -e r
curl -L http://h/deep/relative
curl -L --max-redirs 2 http://h/loop
curl -L --max-redirs 0 http://h/loop
curl http://h/r302 -L --no-location
curl -L http://h/r302
curl -L http://h/r302 -c jar1
curl -L http://h/r302 -c jar2 -b a=1
curl -L http://h/r302 -b ''
curl -c jar3 http://h/set && curl -b jar3 http://h/a/b && curl -b jar3 http://h/
curl -c jar4 http://h/set && curl -b jar4 -c jar4 http://h/unset && curl -b jar4 http://h/a
curl -c jar8 http://h/set && curl -b jar8 -b z=1 http://h/a/b
curl -c jar5 http://h/set && curl -b jar5 -H 'Cookie: own=1' http://h/a
curl -c jar7 http://h/set && curl -b jar7 -A me -H 'X: 1' http://h/a
curl -c jar6 http://h/set && curl -j -b jar6 http://h/a
""".strip().splitlines()

BOUNDARY = re.compile(rb"-{20,}[0-9A-Za-z]{16,}")


async def answer(received: Received) -> bytes:
    path = received.target.partition(b"?")[0]
    end = b"Content-Length: 0\r\n\r\n"
    if found := re.fullmatch(rb"/r(\d+)", path):
        return b"HTTP/1.1 %b X\r\nLocation: /there\r\nSet-Cookie: n=1\r\n%b" % (found[1], end)
    if path == b"/loop":
        return b"HTTP/1.1 302 X\r\nLocation: /loop\r\n" + end
    if path == b"/deep/relative":
        return b"HTTP/1.1 302 X\r\nLocation: ../up/./a?b c#d\r\n" + end
    if path == b"/set":
        cookies = (
            "a=1; Path=/",
            "bb=2; Path=/; HttpOnly",
            "c=3; Path=/a",
            "gone=4; Max-Age=0",
            "d=5; Path=/b",
        )
        lines = b"".join(b"Set-Cookie: %b\r\n" % one.encode() for one in cookies)
        return b"HTTP/1.1 200 OK\r\n" + lines + end
    if path == b"/unset":
        return b"HTTP/1.1 200 OK\r\nSet-Cookie: a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n" + end
    return OK.removesuffix(b"ok") if received.head.startswith(b"HEAD ") else OK


def files(folder: Path) -> None:
    (folder / "body.txt").write_text("one\ntwo\n")
    (folder / "heads.txt").write_text("X-From: file\nX-Two: 2\n")
    for name in ("photo.png", "a b.PDF", "x.jpeg", "noext"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x00")


def comparable(received: Received) -> tuple[bytes, list[bytes], bytes]:
    """Return the request line, the headers in their order, and the body, without what may differ."""
    first, *lines = received.head.split(b"\r\n")[:-2]
    kept = []
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.strip()
        if name.lower() in {b"host", b"content-length", b"x-loadgen-seq"}:
            continue
        if value.startswith(b"curl/"):
            value = b"curl"
        if value.startswith(b"deflate, gzip"):
            value = b"deflate, gzip"
        kept.append(name + b": " + value)
    marked = BOUNDARY.sub(b"BOUNDARY", b"\n".join(kept))
    return first, marked.split(b"\n"), BOUNDARY.sub(b"BOUNDARY", received.body)


def lengths(server: RawServer) -> list[bytes]:
    """Return what each request says about its length."""
    found = [re.search(rb"(?i)\r\ncontent-length: *(\d+)", one.head) for one in server.requests]
    return [one[1] if one else b"" for one in found]


@pytest.mark.parametrize("text", COMMANDS)
async def test_as_curl_sends_it(tmp_path: Path, text: str) -> None:
    """The same requests, in the same order: request line, headers and their order, and body, to the byte."""
    files(tmp_path)
    async with raw_server(answer) as theirs:
        address = theirs.url.removeprefix("http://")
        script = re.sub(r"(?<=[ '/@])h(?=[/'?]| |$)", address, text).replace("curl ", "curl -s -m 20 ")
        done = await anyio.run_process(["bash", "-c", script], cwd=tmp_path, check=False)
        assert done.returncode in {0, 47}, done.stderr
    (tmp_path / "calls.txt").write_text(text)
    calls, _ = read(tmp_path / "calls.txt")
    async with raw_server(answer) as ours:
        with Journal(tmp_path / "t.jsonl", tmp_path / "bodies") as journal, anyio.fail_after(60):
            outcome = await fire(
                ours.url, playing(Path("calls.txt"), calls), journal, concurrency=1, iterations=1, seed=1,
                timeout=5, stop=Stop(), say=lambda _: None,
            )  # fmt: skip
        assert outcome.errors == {}
    expected = [comparable(one) for one in theirs.requests]
    expected = [
        (one[0], [line.replace(address.encode(), b"h") for line in one[1]], one[2]) for one in expected
    ]
    here = ours.url.removeprefix("http://").encode()
    sent = [comparable(one) for one in ours.requests]
    assert [(one[0], [line.replace(here, b"h") for line in one[1]], one[2]) for one in sent] == expected
    for mine, other in zip(lengths(ours), lengths(theirs), strict=True):
        assert mine == other or {mine, other} <= {b"", b"0"}
    assert len(expected) >= text.count("curl")
