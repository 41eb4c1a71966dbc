"""Lists of curl commands: commands that cannot be sent are named with their lines.

``test_curl_itself.py`` compares the requests with curl itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.traffic import curl
from loadgen.client.traffic.file import read
from loadgen.client.traffic.shell import ShellError, commands
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.client.traffic.call import Call


def parse(path: Path, text: str) -> list[Call]:
    found, _ = curl.parse(path / "calls.txt", text.encode("utf-8", "surrogateescape"))
    return [call for _, _, call in found]


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
        ("a b\\\nc", [["a", "bc"]]),
        ("a {} {a} '{1..3}' x~ \"{a,b}\"", [["a", "{}", "{a}", "{1..3}", "x~", "{a,b}"]]),
        (r"a $'\q\?\cA'", [["a", "\\q?\x01"]]),
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
        ("a\nb $TOKEN", 2, "$TOKEN would be expanded by a shell"),
        ('a "x ${TOKEN} y"', 1, "${TOKEN} would be expanded by a shell"),
        ("a `date`", 1, "` would be expanded by a shell"),
        ("a $(date)", 1, "would be expanded by a shell"),
        ("a | jq", 1, "'|' would be expanded by a shell"),
        ("a > b", 1, "'>' would be expanded by a shell"),
        ("a \\\n\\\nb (", 3, "'(' would be expanded by a shell"),
        ("a \\", 1, "it ends in a backslash"),
        ("a\nb http://h/{1..3}", 2, "{1..3} would be expanded by a shell"),
        ("a {x,'y z'}", 1, "{x,qqq} would be expanded by a shell"),
        ("a ~/body.txt", 1, "~/body.txt would be expanded by a shell"),
        ("a\nb $'x\\x00y'", 2, "a shell cuts off what is behind a zero byte"),
        ("a $'x\\0y'", 1, "a shell cuts off what is behind a zero byte"),
        ("a $'x\\u0000y'", 1, "a shell cuts off what is behind a zero byte"),
    ],
)
def test_what_only_a_shell_can_do_is_refused(text: str, line: int, says: str) -> None:
    """Nothing is guessed, and nothing is run: the line is named."""
    with pytest.raises(ShellError) as caught:
        list(commands(text))
    assert caught.value.line == line
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("curl http://h/\n\nwget http://h/", 3, "'wget' is not a curl command"),
        ("curl http://h/?a=1&b=2", 1, "'b=2' is not a curl command"),
        ("curl http://h/ \\\n  -H 'A: 1' \\\n  --upload-file x", 3, "curl's --upload-file is not supported"),
        ("curl http://h/ -T x", 1, "curl's -T is not supported"),
        ("curl --digest -u a:b http://h/", 1, "curl's --digest is not supported"),
        ("curl http://h/ -H", 1, "curl's -H has no value"),
        ("curl http://h/ --data", 1, "curl's --data has no value"),
        ("curl -s", 1, "it has no URL"),
        ("curl ftp://h/", 1, "is not an HTTP URL"),
        ("curl 'http://h/[1-3]'", 1, "stands for several"),
        ("curl http://h/ -H nocolon", 1, "has no colon"),
        ("curl http://h/ -u me", 1, "has no password"),
        ("curl http://h/ -b jar.txt", 1, "names a file"),
        ("curl http://h/ -d @none.txt", 1, "none.txt cannot be read"),
        ("curl http://h/ -d @-", 1, "standard input"),
        ("curl http://h/ -F novalue", 1, "has no value"),
        ("curl http://h/ -F 'a=@b;encoder=base64'", 1, "'encoder' is not supported"),
        ("curl http://h/ -F a=b -d c", 1, "exclude each other"),
        ("curl http://h/ -F 'a=b;c'", 1, "'c' is not supported"),
        ("curl http://h/ -F 'a=b;c'", 1, "--form-string takes a value as it is"),
        ("curl http://h/ -F 'a=@b.txt,c.txt'", 1, "several files in one field"),
        ("curl http://h/ -F 'a=(;type=multipart/x'", 1, "forms in forms"),
        ("curl http://h/ -F 'a=b;type=x'", 1, "the type is not name/name"),
        ("curl -I http://h/ -d a", 1, "curl refuses both"),
        ("curl -I http://h/ -F a=b", 1, "curl refuses both"),
        ("curl 'http://h/{a}'", 1, "stands for several"),
        ("curl 'http://h/?a[1]=1'", 1, "stands for several"),
        ("curl 'http://h/?a={\"x\":1}'", 1, "stands for several"),
        ("curl 'http://h/?a=]'", 1, "stands for several"),
        ("curl 'http://h/a b'", 1, "curl sends no such URL"),
        ("curl -G http://h/ -d 'a=b c'", 1, "curl sends no such URL"),
        ("curl /path", 1, "is not a URL with a host"),
        ("curl http://h/ -d abc -H 'Content-Length: 2'", 1, "its Content-Length is not that of its body"),
        ("curl http://h/ -H ' X: 1'", 1, "has no valid name"),
        ("curl http://h/ -H $'X: a\\nB: c'", 1, "has more than one line"),
        ("curl -X '' http://h/", 1, "is not a method"),
        ("curl http://h/ --data=a", 1, "curl's --data=a is not supported"),
        ("curl http://h/ --dat a", 1, "curl's --dat is not supported"),
        ("curl -L --max-redirs x http://h/", 1, "is not a number"),
        ("curl http://h/{1..3}", 1, "{1..3} would be expanded by a shell"),
        ('curl ^"http://h/^"', 1, "copied for Windows"),
        ("curl 'http://h/", 1, "a quote is not closed"),
        ("# nothing\n", 0, "has no request to send"),
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


def test_the_same_command_makes_the_same_bytes(tmp_path: Path) -> None:
    """A form's boundary follows from the form: a list is played alike each time."""
    command = "curl http://h/ -F 'name=Zoë'"
    assert only(tmp_path, command) == only(tmp_path, command)
    assert only(tmp_path, command).body != only(tmp_path, command.replace("Zoë", "Zoe")).body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("curl http://h/ -H 'Host: other'", "Host (1)"),
        (
            "curl http://h/ -H 'TE: trailers' -d x -H 'Transfer-Encoding: chunked'",
            "Te (1), Transfer-Encoding (1)",
        ),
        ("curl -0 http://h/", "1 request would be HTTP/1.0"),
        ("curl --http2 http://h/ http://h/b", "2 requests would be HTTP/2, or ask for it"),
        ("curl --http2-prior-knowledge http://h/", "1 request would be HTTP/2 (curl's --http2-prior"),
        ("curl --http3 https://h/", "1 request would be HTTP/3"),
        ("curl -x http://proxy:8080 http://h/", "1 request would be sent to a proxy"),
        ("curl --retry 3 http://h/", "1 request would be sent again after a failure"),
        ("curl --fail-early http://h/ http://h/b", "1 request would not be sent after a failure"),
        ("curl http://h/ -d @large.bin", "Expect (1)"),
        ("curl http://h/ -F a=@large.bin", "Expect (1)"),
        ("curl http://h/ -H 'Expect: 100-continue' -d @large.bin", "Expect (1)"),
        ("curl http://h/ -H 'Connection: close'", "Connection (1)"),
        ("curl http://h/ http://H:80/ http://other/ http://www.h", "Left out: 1 to other."),
    ],
)
def test_what_is_not_sent_as_it_stands_is_told(tmp_path: Path, text: str, says: str) -> None:
    """What belongs to a connection is made anew: where that makes a difference, a note says so."""
    (tmp_path / "calls.txt").write_text(text)
    (tmp_path / "large.bin").write_bytes(b"x" * ((1 << 20) + 1))
    _, notes = read(tmp_path / "calls.txt")
    assert says in "\n".join(notes)


def test_what_follows_from_the_request_is_no_note(tmp_path: Path) -> None:
    """A browser's own copy has the host, the length and the connection: nothing is lost with them."""
    command = "curl http://h/ -H 'Host: h' -H 'Content-Length: 1' -H 'Connection: keep-alive' -d x"
    more = "curl --http2 --http1.1 --retry 0 -x '' http://h/ -H Expect: -d @large.bin"
    (tmp_path / "large.bin").write_bytes(b"x" * ((1 << 20) + 1))
    (tmp_path / "calls.txt").write_text(f"{command}\n{more}\n")
    assert read(tmp_path / "calls.txt")[1] == []
