"""Lists of curl commands: what curl would send is what is played; what cannot be is named with its line.

The expected requests are those that curl 8 sends, which ``test_as_curl_itself_sends_it`` asks it where it is
installed.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import anyio
import pytest

from loadgen.client.traffic import curl
from loadgen.client.traffic.shell import ShellError, commands
from loadgen.errors import UsageError
from tests.client.raw_server import OK, Received, raw_server

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.traffic.call import Call


def parse(path: Path, text: str) -> list[Call]:
    return curl.parse(path / "calls.txt", text.encode("utf-8", "surrogateescape"))


def only(path: Path, text: str) -> Call:
    (call,) = parse(path, text)
    return call


def words(text: str) -> list[list[str]]:
    return [[word.text for word in command] for command in commands(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b\nc", [["a", "b"], ["c"]]),
        ("a \\\n  b \\\r\n c", [["a", "b", "c"]]),
        ("a 'b c'\"d e\"f", [["a", "b cd ef"]]),
        ("a '' \"\"", [["a", "", ""]]),
        ("a 'two\nlines'\nb", [["a", "two\nlines"], ["b"]]),
        (r'a "\"\\\$\x"', [["a", r'"\$\x']]),
        (r"a\ b \'", [["a b", "'"]]),
        (r"a $'it\'s\n\t\\\x41\u00e9\101'", [["a", "it's\n\t\\AéA"]]),
        (r"a $'\xc3\xa9 \ud83d\ude00'", [["a", "é 😀"]]),
        ("# all\na #rest\nb#c", [["a"], ["b#c"]]),
        ("#", []),
        ("a; b && c & d", [["a"], ["b"], ["c"], ["d"]]),
        ('a $. 5$ "$."', [["a", "$.", "5$", "$."]]),
        ("\n\n", []),
    ],
)
def test_words_are_a_shells(text: str, found: list[list[str]]) -> None:
    """Quotes, continuations and comments are those of a POSIX shell, with the $'...' that browsers write."""
    assert words(text) == found


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a\nb 'c", 2, "a quote is not closed"),
        ('a "b\nc', 1, "a quote is not closed"),
        ("a $'b", 1, "a quote is not closed"),
        ("a\nb $TOKEN", 2, "$TOKEN is for a shell"),
        ('a "x ${TOKEN} y"', 1, "${TOKEN} is for a shell"),
        ("a `date`", 1, "` is for a shell"),
        ("a $(date)", 1, "is for a shell"),
        ("a | jq", 1, "'|' is for a shell"),
        ("a > b", 1, "'>' is for a shell"),
        ("a \\\n\\\nb (", 3, "'(' is for a shell"),
        ("a \\", 1, "it ends in a backslash"),
    ],
)
def test_what_only_a_shell_can_do_is_refused(text: str, line: int, says: str) -> None:
    """Nothing is guessed, and nothing is run: the line is named."""
    with pytest.raises(ShellError) as caught:
        list(commands(text))
    assert caught.value.line == line
    assert says in str(caught.value)


CURL = [("User-Agent", "curl"), ("Accept", "*/*")]
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = [("User-Agent", "curl"), ("Accept", "application/json"), ("Content-Type", "application/json")]
COMMANDS = [
    ("curl http://h/a?b=1", "GET", "/a?b=1", CURL, b""),
    ("curl 'http://h'", "GET", "/", CURL, b""),
    ("curl h?q", "GET", "/?q", CURL, b""),
    ("$ curl http://h/#frag", "GET", "/", CURL, b""),
    ("curl 'http://h/a%2Fb/*;(~)?@'", "GET", "/a%2Fb/*;(~)?@", CURL, b""),
    ("curl http://h/ -H 'A: 1' -H'B:2' --header 'a: 3'", "GET", "/",
     [*CURL, ("A", "1"), ("B", "2"), ("a", "3")], b""),
    ("curl http://h/ -H 'accept: text/html' -A me", "GET", "/",
     [("accept", "text/html"), ("User-Agent", "me")], b""),
    ("curl http://h/ -H 'Accept:' -H 'User-Agent:' -H 'X;'", "GET", "/", [("X", "")], b""),
    ("curl http://h/ -H 'Host: other' -H 'Content-Length: 7' -H 'Connection: close'", "GET", "/", CURL, b""),
    ("curl http://h/ -d a=1 -d b=2", "POST", "/", [*CURL, FORM], b"a=1&b=2"),
    ("curl -X PUT http://h/ -d ''", "PUT", "/", [*CURL, FORM], b""),
    ("curl http://h/ -H 'content-type: text/plain' --data-raw @x", "POST", "/",
     [*CURL, ("content-type", "text/plain")], b"@x"),
    ("curl http://h/ --data-raw $'------WebKit\\r\\nx\\r\\n'", "POST", "/",
     [*CURL, FORM], b"------WebKit\r\nx\r\n"),
    ("curl http://h/ -d @body.txt", "POST", "/", [*CURL, FORM], b"onetwo"),
    ("curl http://h/ --data-binary @body.txt", "POST", "/", [*CURL, FORM], b"one\ntwo\n"),
    ("curl http://h/ --data-urlencode 'q=a b&~' --data-urlencode '=x y' --data-urlencode 'n@body.txt'",
     "POST", "/", [*CURL, FORM], b"q=a+b%26~&x+y&n=one%0Atwo%0A"),
    ("curl http://h/ --json '{\"a\":' --json ' 1}'", "POST", "/", JSON, b'{"a": 1}'),
    ("curl -G http://h/?x=1 -d 'a=b%20c' -d d", "GET", "/?x=1&a=b%20c&d", CURL, b""),
    ("curl -I http://h/", "HEAD", "/", CURL, b""),
    ("curl http://h/ -b 'a=1; b=2' -e http://r/", "GET", "/",
     [*CURL, ("Cookie", "a=1; b=2"), ("Referer", "http://r/")], b""),
    ("curl -u me:pass:word http://h/", "GET", "/", [*CURL, ("Authorization", "Basic bWU6cGFzczp3b3Jk")], b""),
    ("curl http://me:pw@h/", "GET", "/", [*CURL, ("Authorization", "Basic bWU6cHc=")], b""),
    ("curl --oauth2-bearer t http://h/ -r 0-9", "GET", "/",
     [*CURL, ("Authorization", "Bearer t"), ("Range", "bytes=0-9")], b""),
    ("curl --compressed -k -sSL --max-time 5 -o out http://h/", "GET", "/",
     [*CURL, ("Accept-Encoding", "deflate, gzip")], b""),
    ("curl -g 'http://h/[1-2]{a,b}'", "GET", "/[1-2]{a,b}", CURL, b""),
    ("curl http://h/ -H 'X: é'", "GET", "/", [*CURL, ("X", "Ã©")], b""),
    ("curl 'http://h/a/./b/../c//d?x=/../y'", "GET", "/a/c//d?x=/../y", CURL, b""),
    ("curl --path-as-is http://h/a/./b/../c", "GET", "/a/./b/../c", CURL, b""),
    ("curl -XDELETE --url http://h/a", "DELETE", "/a", CURL, b""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "method", "target", "headers", "body"), COMMANDS, ids=[one[0] for one in COMMANDS]
)
def test_commands(
    tmp_path: Path, text: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """A command is the request that curl would send."""
    (tmp_path / "body.txt").write_text("one\ntwo\n")
    call = only(tmp_path, text)
    assert (call.method, call.target, call.body) == (method, target, body)
    assert sorted(call.headers) == sorted(headers)
    assert call.follow is ("-sSL" in text)


def test_forms(tmp_path: Path) -> None:
    """A form is multipart, with the file's name and type; the same command makes the same bytes."""
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n")
    photo = "-F 'photo=@photo.png;type=image/png' -F 'note=<photo.png'"
    command = f"curl http://h/ -F 'name=Zoë' {photo} -F 'a=b;type=x/y'"
    call = only(tmp_path, command)
    kind = dict(call.headers)["Content-Type"]
    boundary = kind.removeprefix("multipart/form-data; boundary=").encode()
    parts = call.body.split(b"--" + boundary)
    assert call.method == "POST"
    assert parts[1] == b'\r\nContent-Disposition: form-data; name="name"\r\n\r\nZo\xc3\xab\r\n'
    assert parts[2] == (
        b'\r\nContent-Disposition: form-data; name="photo"; filename="photo.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\r\n"
    )
    assert parts[3] == b'\r\nContent-Disposition: form-data; name="note"\r\n\r\n\x89PNG\r\n\r\n'
    assert b"Content-Type: x/y\r\n\r\nb\r\n" in parts[4]
    assert parts[5] == b"--\r\n"
    assert only(tmp_path, command) == call


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("curl http://h/\n\nwget http://h/", 3, "'wget' is no curl command"),
        ("curl http://h/?a=1&b=2", 1, "'b=2' is no curl command"),
        ("curl http://h/ \\\n  -H 'A: 1' \\\n  --upload-file x", 3, "curl's --upload-file is not supported"),
        ("curl http://h/ -T x", 1, "curl's -T is not supported"),
        ("curl --digest -u a:b http://h/", 1, "curl's --digest is not supported"),
        ("curl http://h/ -H", 1, "curl's -H has no value"),
        ("curl http://h/ --data", 1, "curl's --data has no value"),
        ("curl -s", 1, "it has no URL"),
        ("curl ftp://h/", 1, "is no HTTP URL"),
        ("curl 'http://h/[1-3]'", 1, "stands for several"),
        ("curl http://h/ -H nocolon", 1, "has no colon"),
        ("curl http://h/ -u me", 1, "has no password"),
        ("curl http://h/ -b jar.txt", 1, "names a file"),
        ("curl http://h/ -d @none.txt", 1, "none.txt cannot be read"),
        ("curl http://h/ -d @-", 1, "standard input"),
        ("curl http://h/ -F novalue", 1, "has no value"),
        ("curl http://h/ -F 'a=@b;encoder=base64'", 1, "'encoder' is not supported"),
        ("curl http://h/ -F a=b -d c", 1, "exclude each other"),
        ('curl ^"http://h/^"', 1, "copied for Windows"),
        ("curl 'http://h/", 1, "a quote is not closed"),
        ("# nothing\n", 0, "has no request to play"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    """Whatever is not understood is a usage error: nothing is left out silently."""
    with pytest.raises(UsageError) as caught:
        parse(tmp_path, text)
    where = f"{tmp_path / 'calls.txt'}, line {line}: " if line else str(tmp_path / "calls.txt")
    assert caught.value.message.startswith(where)
    assert says in caught.value.message
    assert caught.value.advice


CURLS_OWN = {"host", "user-agent", "content-length"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("text", [one[0] for one in COMMANDS if "frag" not in one[0]])
async def test_as_curl_itself_sends_it(tmp_path: Path, text: str) -> None:
    """What is expected above is what curl sends: it is asked, where it is installed."""
    if (found := shutil.which("curl")) is None or shutil.which("bash") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "body.txt").write_text("one\ntwo\n")
    call = only(tmp_path, text)

    async def answer(received: Received) -> bytes:
        return OK

    async with raw_server(answer) as server:
        host = server.url.removeprefix("http://")
        asked = (
            text.replace("http://me:pw@h", f"http://me:pw@{host}")
            .replace("http://h", f"http://{host}")
            .replace(" h?q", f" {host}/?q")
            .replace("curl ", f"{found} -s ", 1)
        )
        script = asked.replace("-H 'Content-Length: 7'", "")
        if "--json" in text:
            version = (await anyio.run_process([found, "--version"])).stdout.split()[1].decode()
            if tuple(map(int, version.split(".")[:2])) < (7, 82):
                pytest.skip("this curl is too old")
        await anyio.run_process(["bash", "-c", script], cwd=tmp_path)
        (sent,) = server.requests
    lines = sent.head.decode("latin-1").split("\r\n")
    assert lines[0] == f"{call.method} {call.target} HTTP/1.1"
    assert sent.body == call.body
    fields = [line.partition(":") for line in lines[1:] if line]
    theirs = sorted(
        (name.lower(), value.strip()) for name, _, value in fields
        if name.lower() not in CURLS_OWN | {"connection", "accept-encoding"}
    )  # fmt: skip
    ours = sorted(
        (name.lower(), value) for name, value in call.headers
        if name.lower() not in CURLS_OWN | {"accept-encoding"}
    )  # fmt: skip
    assert ours == theirs


def test_what_no_url_may_hold_is_encoded(tmp_path: Path) -> None:
    """A space or a letter that is not ASCII is encoded; curl refuses the one, and sends the other raw."""
    assert only(tmp_path, "curl 'http://h/é ü'").target == "/%C3%A9%20%C3%BC"
