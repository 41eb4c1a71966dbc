"""Examines whether this machine and a server can be recorded, and says what is missing."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from loadgen import dispatch
from loadgen.core.option import shell
from loadgen.discovery import look
from loadgen.engine import interpreter
from loadgen.engine.interpreter import ENGINE, SUPPORTED
from loadgen.engine.target import resolve
from loadgen.errors import LoadgenError
from loadgen.init import UNREADABLE
from loadgen.store.surroundings import packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.core.spec import RunSpec
    from loadgen.engine.interpreter import Interpreter

SPACE = 1 << 28
"""Free bytes that a few recordings need."""
DESCRIPTORS = 512
_OLDEST = {"flask": (2, 2), "werkzeug": (2, 2)}
_UNSUPPORTED = {
    "gevent": "its worker and its patched sockets are not recorded: use threads (gunicorn -k gthread)",
    "eventlet": "its worker and its patched sockets are not recorded: use threads (gunicorn -k gthread)",
    "hypercorn": "it is not supported: use uvicorn, or module:app",
    "daphne": "it is not supported: use uvicorn, or module:app",
    "uwsgi": "it is not supported: use gunicorn, waitress, or module:app",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined."""

    state: str
    """``ok``, ``note`` for what may matter, or ``missing`` for what prevents a recording."""
    what: str
    advice: str = ""


def machine() -> Iterator[Finding]:
    """Examine this machine, and loadgen's own installation."""
    system = platform.system()
    if system == "Linux":
        yield Finding("ok", f"{system} {platform.release()}, {platform.machine()}")
    else:
        yield Finding(
            "missing", f"this is {system}", "loadgen runs on Linux: use a container or a virtual machine"
        )
    mine = interpreter.own()
    yield Finding("ok", f"loadgen runs in {mine.name}")
    if mine.engine == SUPPORTED:
        yield Finding("ok", f"{ENGINE} {SUPPORTED}, the engine")
    else:
        yield Finding(
            "missing",
            f"{ENGINE} {SUPPORTED}, the engine: found {mine.engine}",
            f"pip install {ENGINE}=={SUPPORTED}",
        )
    if not Path("/proc/self/stat").exists():
        yield Finding("missing", "/proc is not mounted", "loadgen finds processes and their ports there")
    try:
        socket.create_server(("127.0.0.1", 0)).close()
        yield Finding("ok", "a server can listen on 127.0.0.1")
    except OSError as error:
        yield Finding(
            "missing", f"no server can listen on 127.0.0.1: {error.strerror}", "start the interface lo"
        )
    yield from _limits()
    if shutil.which("docker") is None:
        yield Finding("note", "no docker command", "needed only for --runtime docker")


def _limits() -> Iterator[Finding]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    if free < SPACE:
        yield Finding(
            "missing", f"{free >> 20} MB are free in {here}", "recordings are written to runs/: make room"
        )
    if not os.access(here, os.W_OK):
        yield Finding(
            "missing", f"{here} cannot be written to", "give another folder: loadgen record --run DIR"
        )
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < DESCRIPTORS:
        yield Finding(
            "note", f"at most {files} open files", f"with many virtual users: ulimit -n {2 * DESCRIPTORS}"
        )


async def server(spec: RunSpec) -> list[Finding]:
    """Examine the server of *spec*, in its environment, and start it once under the engine."""
    found = list[Finding]()
    try:
        target = resolve(spec.target, spec.cwd, python=spec.python)
        found.append(Finding("ok", f"{target.name} runs in {target.python.name}"))
        brought = target.python.brought()
    except LoadgenError as error:
        return [*found, Finding("missing", error.message, error.advice)]
    if not target.python.own:
        how = "is brought along" if brought else "is installed there"
        found.append(Finding("ok", f"{ENGINE} {SUPPORTED} {how}"))
    found += _libraries(target.python)
    try:
        known = await dispatch.routes(spec)
    except LoadgenError as error:
        return [*found, Finding("missing", error.message, error.advice)]
    listed = _counted(known) if known else "its paths are not known to loadgen"
    return [*found, Finding("ok", f"it starts under the engine, and can be recorded; {listed}")]


def _libraries(python: Interpreter) -> Iterator[Finding]:
    for name, version in sorted(packages(python).items()):
        oldest = _OLDEST.get(name)
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if oldest is not None and numbers < oldest:
            wanted = ".".join(map(str, oldest))
            yield Finding(
                "missing", f"{name} {version} is too old", f"loadgen supports {name} from {wanted} on"
            )
        if name in _UNSUPPORTED:
            yield Finding("note", f"{name} {version} is installed", _UNSUPPORTED[name])


def _counted(known: tuple[str, ...]) -> str:
    return "1 path needs no parameters" if len(known) == 1 else f"{len(known)} paths need no parameters"


def chosen(spec: RunSpec) -> tuple[RunSpec, list[Finding]]:
    """Return *spec* with the server that its folder suggests, if it names none, and what else is found there.

    The target remains empty if there is no application.
    """
    if spec.target:
        return spec, []
    found = look(Path(spec.cwd or ""))
    if not found.candidates:
        broken = [Finding("note", one, "it is not valid Python") for one in found.unreadable[:UNREADABLE]]
        none = Finding("note", "no application in this folder", "give one: loadgen doctor module:app")
        return spec, [*broken, none]
    first, *others = found.candidates
    same = [one.target for one in others if one.rank == first.rank]
    notes = [
        Finding(
            "note",
            f"also found: {', '.join(map(' '.join, same))}",
            f"to examine another: {shell('doctor', *another)}",
        )
        for another in same[:1]
    ]
    return replace(first.started(spec), python=found.python_for(spec)), notes
