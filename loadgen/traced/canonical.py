"""One form for calls that do the same: ``open(path, "w")`` and ``Path(path).open("w")``, for example.

Changed code often only writes such a call in another way: a statement has other line breaks, ``with`` stands
for the call that its end makes. A call that a logging library makes to write a log has a name of its own, so
that a log line more or less is no effect.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from pathlib import PurePath
from typing import Any

_OPEN = re.compile(r"_?io\.open$")
_OF_FILES = re.compile(r"posix\.|_?io\.open_code$")
_OPENING = ("mode", "buffering", "encoding", "errors", "newline", "closefd", "opener")
_DEFAULTS: dict[str, Any] = {
    "mode": "r", "buffering": -1, "encoding": None, "errors": None, "newline": None, "closefd": True,
    "opener": None,
}  # fmt: skip
_UNSAID = {"dir_fd": None, "src_dir_fd": None, "dst_dir_fd": None, "follow_symlinks": True, "ns": None}
_SAME_AS = {"posix.remove": "posix.unlink"}
_LOGS = re.compile(r"_?io\.\w+\.(?:write|flush)$")
_EXECUTES = re.compile(r".*\.(?:execute|executemany|executescript|exec_params|exec_|prepare)$")
_COMMITS = re.compile(r"(.*(?:Connection|connection)\.)__exit__$")
_CLOSES = re.compile(r"(.*[cC]ursor\.|_?io\.\w+\.)__exit__$")
_KEPT = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(\w*)\$.*?\$\2\$|--[^\n]*\n?|/\*.*?\*/)|\s+""", re.DOTALL
)
"""What is kept as it is in a statement, or else the space between two parts of it."""
_SPACED = re.compile(r"\s\s|[^\S ]")
LOGGING = "logging."
"""What the name of a call begins with that writes a log."""
_WRITE_LOGS = (logging.__file__, "/loguru/_file_sink.py", "/structlog/_output.py")


def is_special(name: str) -> bool:
    """Whether calls of this name may have another form, see :func:`form`."""
    return any(one.match(name) for one in (_OPEN, _OF_FILES, _EXECUTES, _COMMITS, _CLOSES))


def may_log(name: str) -> bool:
    """Whether a call of this name may write a log, if :func:`writes_logs` says so of its caller."""
    return bool(_LOGS.match(name))


def writes_logs(file: str) -> bool:
    """Whether the code in a *file* writes logs."""
    return file.endswith(_WRITE_LOGS)


def form(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the one form of a call: its name and arguments."""
    if _OPEN.match(name):
        given = {**_DEFAULTS, **dict(zip(_OPENING, args[1:], strict=False)), **kwargs}
        file = given.pop("file", args[0] if args else None)
        if given["encoding"] == "locale" and "b" not in str(given["mode"]):
            given["encoding"] = None
        rest = {key: value for key, value in given.items() if key != "mode" and value != _DEFAULTS.get(key)}
        return "_io.open", [_path(file), given["mode"]], rest
    if _EXECUTES.match(name):
        return name, [_laid_out(one) for one in args], kwargs
    if (found := _COMMITS.match(name)) is not None:
        raised = len(args) > 1 and args[1] is not None
        return f"{found[1]}{'rollback' if raised else 'commit'}", list(args[:1]), {}
    if (found := _CLOSES.match(name)) is not None:
        return f"{found[1]}close", list(args[:1]), {}
    said = {key: value for key, value in kwargs.items() if key not in _UNSAID or value is not _UNSAID[key]}
    name = _SAME_AS.get(name, name)
    rest_args = [_path(one) for one in args]
    if name == "posix.mkdir" and rest_args[1:] == [0o777]:
        del rest_args[1:]
    return name, rest_args, said


def _laid_out(value: Any) -> Any:
    """Return a statement with single spaces between its parts; any other argument as it is."""
    if type(value) is str and (value[:1].isspace() or value[-1:].isspace() or _SPACED.search(value)):
        return _one_line(value)
    return value


@lru_cache(4096)
def _one_line(statement: str) -> str:
    if "\\" in statement:  # what is quoted depends on the dialect
        return statement
    return _KEPT.sub(lambda part: part[1] or " ", statement).strip()


def _path(value: Any) -> Any:
    """Return a path as text; not that of an entry of ``os.scandir``, which is on the tape itself."""
    return str(value) if isinstance(value, PurePath) else value
