"""The supported options of curl, and the parser for the words of a command.

It parses as curl does: a long option is written in full, with its value in the next word; short ones may be
joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.client.traffic.shell import ShellError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.client.traffic.shell import Word

VALUES = {
    "request": "X", "header": "H", "data": "d", "data-ascii": "", "data-raw": "", "data-binary": "",
    "data-urlencode": "", "json": "", "form": "F", "form-string": "", "cookie": "b", "cookie-jar": "c",
    "user": "u", "user-agent": "A", "referer": "e", "oauth2-bearer": "", "url": "", "range": "r",
    "max-redirs": "", "request-target": "", "proxy": "x", "retry": "",
}  # fmt: skip
"""Options with a value that affect the request, or what is said about it."""
FLAGS = {
    "get": "G", "head": "I", "compressed": "", "location": "L", "location-trusted": "", "globoff": "g",
    "path-as-is": "", "post301": "", "post302": "", "post303": "", "form-escape": "", "http1.0": "0",
    "http1.1": "", "http2": "", "http2-prior-knowledge": "", "http3": "", "junk-session-cookies": "j",
    "fail-early": "",
}  # fmt: skip
"""Options without a value that affect the request, or what is said about it."""
_VALUES_PASSED_OVER = {
    "output": "o", "write-out": "w", "max-time": "m", "connect-timeout": "", "noproxy": "",
    "resolve": "", "connect-to": "", "interface": "", "retry-delay": "", "retry-max-time": "",
    "cacert": "", "cert": "E", "key": "", "ciphers": "", "dump-header": "D", "stderr": "",
    "limit-rate": "", "proxy-user": "U", "keepalive-time": "", "expect100-timeout": "",
    "speed-limit": "Y", "speed-time": "y", "cert-type": "", "key-type": "", "pass": "", "capath": "",
    "output-dir": "", "trace": "", "trace-ascii": "", "max-filesize": "", "unix-socket": "",
}  # fmt: skip
_FLAGS_PASSED_OVER = {
    "insecure": "k", "silent": "s", "show-error": "S", "verbose": "v", "include": "i", "fail": "f",
    "fail-with-body": "", "progress-bar": "#", "no-progress-meter": "", "no-buffer": "N",
    "remote-name": "O", "ipv4": "4", "ipv6": "6", "tlsv1": "1", "tlsv1.2": "", "tlsv1.3": "",
    "no-keepalive": "", "tcp-nodelay": "", "disable": "q", "show-headers": "", "remote-header-name": "J",
    "create-dirs": "", "ssl": "", "ssl-reqd": "", "no-alpn": "", "no-sessionid": "", "retry-connrefused": "",
    "retry-all-errors": "", "basic": "", "raw": "", "trace-time": "", "progress-meter": "",
    "buffer": "", "keepalive": "", "alpn": "", "sessionid": "", "remote-name-all": "", "no-clobber": "",
}  # fmt: skip
_WITH_VALUE = VALUES | _VALUES_PASSED_OVER
_WITHOUT = FLAGS | _FLAGS_PASSED_OVER
_SHORT = {short: name for table in (_WITH_VALUE, _WITHOUT) for name, short in table.items() if short}

Option = tuple[str, str]
"""An option's long name and value; the value is ``no`` if the option is switched off."""


def options(words: list[Word]) -> Iterator[Option]:
    """Yield the options of a command that affect the request, in order, including URLs.

    Raises:
        ShellError: an option is not supported, or has no value; with its line.
    """
    rest = iter(words)
    for word in rest:
        text = word.text
        if text == "--":
            yield from (("url", one.text) for one in rest)
        elif text.startswith("--"):
            yield from _long(word, text[2:], rest)
        elif text.startswith("-") and text != "-":
            yield from _joined(word, text[1:], rest)
        else:
            yield "url", text


def _long(word: Word, name: str, rest: Iterator[Word]) -> Iterator[Option]:
    if name in _WITH_VALUE:
        value = _value(word, word.text, rest)
        if name in VALUES:
            yield name, value
    elif name in _WITHOUT:
        if name in FLAGS:
            yield name, ""
    elif name.startswith("no-") and name[3:] in _WITHOUT:
        if name[3:] in FLAGS:
            yield name[3:], "no"
    else:
        raise ShellError(word.line, f"curl's {word.text} is not supported")


def _joined(word: Word, letters: str, rest: Iterator[Word]) -> Iterator[Option]:
    for at, letter in enumerate(letters, 1):
        name = _SHORT.get(letter, "")
        if not name:
            raise ShellError(word.line, f"curl's -{letter} is not supported")
        if name in _WITH_VALUE:
            value = letters[at:] or _value(word, f"-{letter}", rest)
            if name in VALUES:
                yield name, value
            return
        if name in FLAGS:
            yield name, ""


def _value(word: Word, option: str, rest: Iterator[Word]) -> str:
    following = next(rest, None)
    if following is None:
        raise ShellError(word.line, f"curl's {option} has no value")
    return following.text
