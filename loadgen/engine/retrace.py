"""Retrace's command lines and environment, and what must be the same for a recording to be replayed.

The engine checks its own files and ``sys.version``, but neither our boundary nor the recording's content.
Both are checked here before it is started, because a replay unpickles the recording's content and runs the
command line in it.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from typing import TYPE_CHECKING

from loadgen import __version__, protocol
from loadgen.core.spec import BUNDLED
from loadgen.engine import interpreter
from loadgen.engine.interpreter import ENGINE, PACKAGED
from loadgen.errors import RecordingFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from loadgen.engine.interpreter import Interpreter

TRACED = PACKAGED / "traced"
INSIDE = (PACKAGED / "__init__.py", PACKAGED / "protocol.py")
"""Other modules of loadgen that a traced server imports."""

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Environment variables that the server inherits. The recording stores its environment in clear text, so
variables that may contain secrets are passed on only on request."""

LAUNCHER = "loadgen.traced"
PROCESS = "loadgen.traced.process"
"""The launcher for whole-process tracing."""

FINISHED = b"loadgen\\.finish"
"""Occurs in a recording once per finished request; see :mod:`loadgen.traced.boundary`."""
READ_TIMEOUT_MS = 100
"""Milliseconds that the engine waits for more data at the end of the recording."""


def versions(server: Interpreter | None = None) -> dict[str, str]:
    """Return the versions that a recording depends on; *server* is the interpreter of the server.

    :func:`check_versions` says which must match.

    Raises:
        MachineFault: the engine is missing, or is not the build that the boundary was made for.
    """
    server = server or interpreter.own()
    server.brought()
    return {name: find(server) for name, find in _VERSIONS.items()}


def _platform() -> str:
    """Return what ``platform.platform()`` does, which starts a process to ask for the processor."""
    system, library = os.uname(), "".join(platform.libc_ver())
    return f"{system.sysname}-{system.release}-{system.machine}-with-{library}"


_VERSIONS: dict[str, Callable[[Interpreter], str]] = {
    "loadgen": lambda _: __version__,
    "engine": lambda _: f"{ENGINE} {interpreter.SUPPORTED}",
    "tape": lambda _: str(protocol.TAPE),
    "boundary": lambda _: _boundary(),
    "package": lambda _: _digest(package_files(PACKAGED)),
    "libraries": lambda _: _libraries("loadgen"),
    "python": lambda server: server.version,
    "client_python": lambda _: interpreter.own().version,
    "installation": lambda _: str(PACKAGED),
    "platform": lambda _: _platform(),
}
_MUST_MATCH = {
    "engine": "a different engine",
    "tape": "a loadgen whose recordings are different",
}
_SERVER_MUST_MATCH = {"python": "a different Python"}
_CLIENT_MUST_MATCH = {
    "client_python": "a different Python",
    "package": "a different loadgen, and its code is part of the replay",
    "libraries": "different libraries, which are part of the replay",
}
"""A client replay runs the load generator itself, so all of loadgen and its libraries must match."""


def check_versions(
    recorded: Mapping[str, str],
    server: Interpreter | None = None,
    *,
    client: bool = False,
    in_place: bool = False,
) -> None:
    """Refuse a recording that cannot be replayed by *server*, an interpreter, by default loadgen's own.

    If it is the recording of a load generator (*client*), that is loadgen's own interpreter. With *in_place*,
    the engine alone replays it, which finds files at their recorded paths only.

    Raises:
        RecordingFault: it was made with a different engine, Python or boundary.
        MachineFault: the engine is missing, or is not the build that the boundary was made for.
    """
    if client or server is None:
        server = interpreter.own()
    server.brought()
    must_match = {**_MUST_MATCH, **(_CLIENT_MUST_MATCH if client else _SERVER_MUST_MATCH)}
    if in_place:
        must_match["installation"] = "a different installation, and refers to its files"
    recorded = {"client_python": recorded.get("python", ""), **recorded}  # before they could be two
    for name, what in must_match.items():
        if recorded.get(name) != (here := _VERSIONS[name](server)):
            raise RecordingFault(
                f"the recording was made with {what}: {recorded.get(name)!r}, not {here!r}",
                advice=_ANOTHER_PYTHON
                if name == "python"
                else "Verify with the installation that recorded it, or record again.",
            )


_ANOTHER_PYTHON = "Verify with the Python that ran the recorded server (--python PATH), or record again."


def changed_boundary(recorded: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the recorded and the current loadgen, if its code inside the server is not the same."""
    here = _boundary()
    if recorded.get("boundary") in {None, here}:
        return None
    return f"{recorded.get('loadgen', '')} ({recorded['boundary']})", f"{__version__} ({here})"


def package_files(package: Path) -> list[str]:
    """Return the files of a package, in order, without bytecode, which Python writes at any time."""
    found = list[str]()
    for folder, inner, names in os.walk(package):
        inner[:] = [name for name in inner if name != "__pycache__"]
        found += [f"{folder}{os.sep}{name}" for name in names if not name.endswith(".pyc")]
    return sorted(found)


def _boundary() -> str:
    """Return a digest of loadgen's code inside the server."""
    return _digest([*map(str, INSIDE), *package_files(TRACED)])


def _digest(files: Iterable[str]) -> str:
    """Return a digest of *files* of loadgen's package; the engine checks only its own."""
    digest, before = sha256(), len(f"{PACKAGED}{os.sep}")
    for file in files:
        with open(file, "rb") as opened:  # noqa: PTH123 - a Path takes as long as all else
            content = opened.read()
        digest.update(f"{file[before:]}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _libraries(name: str) -> str:
    """Return the versions of all direct and indirect requirements of the distribution *name*."""
    found, open_ = dict[str, str](), [name]
    while open_:
        name = re.sub(r"[-_.]+", "-", open_.pop()).lower()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # only needed on other systems
            continue
        if name not in found:
            # Read directly: the library parses it as a mail, which takes most of the time of a short command.
            head = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
            version = re.search(r"^Version: *(\S+)", head, re.MULTILINE)
            found[name] = f"{name} {version[1] if version else distribution.version}"
            needed = re.findall(r"^Requires-Dist: *([\w.-]+)(.*)", head, re.MULTILINE)
            open_ += [one for one, condition in needed if "extra ==" not in condition]
    return ", ".join(sorted(found.values()))


CLOSING = {
    "PYTHONHASHSEED": "0",  # the order of sets is not on the tape
    "PSYCOPG_IMPL": "python",  # psycopg's C code talks to libpq without the engine seeing it
}
"""Variables that work around gaps of the engine."""
_NEEDED = {
    **CLOSING,
    "PYTHONUNBUFFERED": "1",
    "PYTHONBREAKPOINT": "0",  # neither a recorded server nor a replay has a terminal
    "PYTHONFAULTHANDLER": "1",  # writes the stack of a crash to server.log
    "RETRACE_MODULES_PATH": str(TRACED / "overlay"),
}


def environment(server: Mapping[str, str], *, engine_alone: bool = False) -> dict[str, str]:
    """Return the complete environment of a server: an allow-list, the engine's variables, and *server*'s own.

    With *engine_alone* it contains no variable that works around a gap of the engine.
    """
    needed = _NEEDED
    if engine_alone:
        needed = {name: value for name, value in needed.items() if name not in CLOSING}
        needed["RETRACE_MODULES_PATH"] = str(TRACED / "engine_alone")
    return {**{name: os.environ[name] for name in INHERITED if name in os.environ}, **needed, **server}


def chosen(given: Sequence[str]) -> dict[str, str]:
    """Return the variables given by the user for the server: ``NAME=VALUE``, or ``NAME`` for its value.

    Raises:
        UsageError: it is not a variable, is not set here, or is one that the recording depends on.
    """
    wanted = dict[str, str]()
    for one in given:
        name, equals, value = one.partition("=")
        if not name or "\0" in one:
            raise UsageError(
                f"{one!r} is not an environment variable", advice="Give NAME=VALUE, or NAME to pass it on."
            )
        if name in _NEEDED or name.startswith("RETRACE") or name == "DB_FILE":
            raise UsageError(
                f"{name} cannot be set for the server: loadgen sets it, and the replay depends on it"
            )
        if not equals and name not in os.environ:
            raise UsageError(f"the environment variable {name} is not set here", advice=f"Give {name}=VALUE.")
        wanted[name] = value if equals else os.environ[name]
    return wanted


@dataclass(frozen=True, slots=True)
class Start:
    """How a recorded server was started; its replay starts the same way."""

    environment: dict[str, str]
    cwd: str
    words: tuple[str, ...]
    """The command line behind the interpreter."""


def recorded_start(recording: Path) -> Start:
    """Return how the server of *recording* was started.

    Raises:
        RecordingFault: the file does not begin like a recording.
    """
    try:
        with recording.open("rb") as file:
            header = json.loads(file.readline())
        environment = {str(name): str(value) for name, value in header["env"].items()}
        return Start(environment, str(header["cwd"]), tuple(map(str, header.get("argv", ()))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingFault(
            f"{recording} has no readable header: {error!r}", advice="Record again."
        ) from error


def _start(server: Interpreter | None, module: str, *, demo: bool = False) -> list[str]:
    """Return the beginning of a command line that runs *module*, of loadgen, in the interpreter *server*.

    With *demo*, the bundled server can be imported there.
    """
    server = server or interpreter.own()
    brought = server.brought()
    if demo:
        brought[BUNDLED] = str(PACKAGED.parent)
    options = (word for prefix, folder in brought.items() for word in ("--bring", f"{prefix}={folder}"))
    # -P: files in the current directory must not shadow the engine's modules.
    return [server.executable, "-P", str(TRACED / "start.py"), *options, module]


def process_environment(server: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server whose process is traced.

    The server writes no bytecode. The engine would treat a descriptor to which bytecode was written as a live
    file from then on, and not record a socket that later gets it; a replay finds the bytecode on disk.
    """
    needed = {"RETRACE_MODULES_PATH": str(TRACED / "overlay_process"), "PYTHONDONTWRITEBYTECODE": "1"}
    return environment({**needed, **server})


def program_environment(program: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a client that is a program: with a tap, and with our workarounds.

    It writes no bytecode, for the same reason.
    """
    needed = {"RETRACE_MODULES_PATH": str(TRACED / "overlay_client"), "PYTHONDONTWRITEBYTECODE": "1"}
    return environment({**needed, **program})


def finished(recording: Path) -> int:
    """Return the number of finished requests in *recording*, by searching its bytes."""
    with recording.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return sum(1 for _ in re.finditer(FINISHED, content))


def empty_recording(path: Path) -> None:
    """Create the file of a recording, readable only by its owner: it will contain environment and data."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def record_command(
    recording: Path,
    target: Sequence[str],
    options: Sequence[str],
    *,
    stacks: bool,
    launcher: str = LAUNCHER,
    server: Interpreter | None = None,
) -> list[str]:
    """Return the command line that records *target*; *options* are those of the *launcher*.

    It runs in the interpreter *server*, by default loadgen's own. With *stacks* the engine records the stack
    of each call, and compares it in a replay.
    """
    checks = ("--stacktraces",) if stacks else ()
    engine = ("--recording", str(recording), "--format", "unframed_binary", *checks, "--", *target)
    return [*_start(server, launcher, demo=BUNDLED in target), *options, "--", *engine]


def replay_command(
    recording: Path,
    options: Sequence[str],
    *,
    launcher: str = LAUNCHER,
    server: Interpreter | None = None,
    demo: bool = False,
) -> list[str]:
    """Return the command line that replays *recording*, which contains the recorded command.

    It runs in the interpreter *server*, by default loadgen's own. With *demo*, it is of the bundled server.
    """
    engine = ("--recording", str(recording), "--read_timeout", str(READ_TIMEOUT_MS))
    return [*_start(server, launcher, demo=demo), *options, "--", *engine]
