"""The Python that runs the server: loadgen's own, or that of another environment.

Nothing of loadgen's environment is visible in another one, except the engine: if it is not installed there,
and loadgen's own is built for that Python, loadgen brings it along (see :mod:`loadgen.traced.start`).
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.engine import probe
from loadgen.errors import MachineFault, RecordingFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from loadgen.core.relocation import Relocation

ENGINE = "retracesoftware"
SUPPORTED = "0.2.30"
"""The engine's version that the boundary and the overlay are made for."""
RELEASES = ((3, 11), (3, 12))
"""Releases of CPython that the engine supports."""
PACKAGED = Path(__file__).parent.parent
ASKING = 30.0
"""Time limit for an interpreter to describe itself."""
_SHEBANG = re.compile(rb"#!\s*(\S+)(?:\s+(\S+))?")
_LONG_SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' \"?([^\"\n]+?)\"? \"\$0\"")
"""What pip writes if the path is too long for a kernel, or contains a space."""
_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python with its environment; described by :mod:`loadgen.engine.probe`."""

    executable: str
    version: str
    """``sys.version``, which must be the same in a replay."""
    release: tuple[int, int, int]
    implementation: str
    suffix: str
    """How names of extension modules end: it names release, platform and build."""
    path: tuple[str, ...]
    """``sys.path``, without the folder of a script."""
    libraries: Mapping[str, str]
    """Folders of the standard library and of installed packages, by name."""
    paths: Mapping[str, str]
    """The paths that ``sys`` has of the interpreter."""
    own: bool = False
    """Whether it is the one that runs loadgen."""

    @property
    def name(self) -> str:
        """The interpreter, as a message names it."""
        return f"{self.executable} ({'.'.join(map(str, self.release))})"

    def shares_environment(self, other: Interpreter) -> bool:
        """Whether *other* is the same Python in the same environment, perhaps by another name."""
        return (self.paths["prefix"], self.version) == (other.paths["prefix"], other.version)

    @property
    def engine(self) -> str:
        """The version of the engine that is installed there; "none" without one."""
        return next((one.version for one in self._distributions(ENGINE)), "none")

    @property
    def scripts(self) -> dict[str, str]:
        """The console scripts that are installed there: ``module:function`` by name."""
        points = (point for one in self._distributions() for point in one.entry_points)
        return {
            point.name: point.value for point in points if point.group == "console_scripts" and point.attr
        }

    def providers(self, modules: Collection[str], among: Collection[str]) -> set[str]:
        """Return which of the distributions *among* contain one of the top-level *modules*."""
        known = {*modules}
        return {
            name
            for name in among
            if not all(known.isdisjoint(_top_levels(one)) for one in self._distributions(name))
        }

    def _distributions(self, name: str | None = None) -> list[metadata.Distribution]:
        wanted = metadata.DistributionFinder.Context(name=name, path=[*self.path])
        return [*metadata.distributions(context=wanted)]

    def brought(self) -> dict[str, str]:
        """Return which packages loadgen brings along, as prefixes of their names, and from which folders.

        Raises:
            MachineFault: the engine is not installed there, and cannot be brought along.
        """
        if self.engine == SUPPORTED:
            return {}
        mine = own()
        if self.own or mine.engine != SUPPORTED:
            raise MachineFault(
                f"loadgen needs {ENGINE} {SUPPORTED}, but found {mine.engine}",
                advice=f"Install it: pip install {ENGINE}=={SUPPORTED}",
            )
        if self.suffix != mine.suffix:
            raise MachineFault(
                f"{self.name} does not have {ENGINE} {SUPPORTED}, the engine, and that of loadgen is built "
                f"for another Python, {mine.name}",
                advice=f"Install it: {self.executable} -m pip install {ENGINE}=={SUPPORTED}",
            )
        folder = mine.libraries["platlib"]
        return {ENGINE: folder, f"_{ENGINE}_": folder}


def _top_levels(installed: metadata.Distribution) -> set[str]:
    """Return the top-level modules of a distribution; to look for each file takes a hundred times as long."""
    record = installed.read_text("RECORD")
    if record is None:
        names = [str(file) for file in installed.files or ()]
    else:
        names = [row[0] for row in csv.reader(record.splitlines()) if row]
    return {name.partition("/")[0].partition(".")[0] for name in names}


@cache
def own() -> Interpreter:
    """Return the interpreter that runs loadgen."""
    return _described(probe.describe(), own=True)


def at(executable: str) -> Interpreter:
    """Return the interpreter *executable*, a path; empty: loadgen's own."""
    return _ask(executable) if executable else own()


def chosen(given: str) -> Interpreter:
    """Return the interpreter that the user names: its path, or the folder of its environment.

    Raises:
        UsageError: there is none.
    """
    path = Path(given).expanduser()
    found = str(path / "bin" / "python") if path.is_dir() else given
    if "/" not in found:
        found = shutil.which(found) or ""
    if not found or not os.path.isfile(found):  # noqa: PTH113 - unlike Path's, false for a name that cannot be
        raise UsageError(
            f"there is no Python at {given}",
            advice="Give a Python, such as .venv/bin/python, or the folder of its environment: --python PATH",
        )
    return _ask(os.path.abspath(found))  # noqa: PTH100 - a link is what makes it an environment's


def activated() -> Interpreter | None:
    """Return the interpreter of the activated environment, if it is not loadgen's own."""
    folder = os.environ.get("VIRTUAL_ENV", "")
    executable = os.path.join(folder, "bin", "python")  # noqa: PTH118
    if not folder or not os.path.isfile(executable):  # noqa: PTH113
        return None
    found = _ask(os.path.abspath(executable))  # noqa: PTH100
    return None if found.own else found


def of_script(path: str) -> Interpreter | None:
    """Return the interpreter that the first line of the script *path* names; None if it names no Python."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - Path's own raises for a name that cannot be
            head = file.read(1024)
    except (OSError, ValueError):
        return None
    if long := _LONG_SHEBANG.match(head):
        return _ask(os.fsdecode(long[1]))
    if not (found := _SHEBANG.match(head)):
        return None
    words = [os.fsdecode(word) for word in found.groups() if word]
    name = words[-1] if Path(words[0]).name == "env" else words[0]
    if not is_python(name):
        return None
    there = name if "/" in name else shutil.which(name)
    return _ask(there) if there else None


def is_python(name: str) -> bool:
    """Whether *name*, a command or its path, is called like a Python."""
    return _PYTHON.fullmatch(Path(name).name) is not None


def located(recorded: str | None, given: str | None, moved: Relocation) -> str:
    """Return the path of the interpreter for a replay: the one *given*, or else the *recorded* one.

    An environment inside a checkout moves with it.

    Raises:
        UsageError: there is none at *given*.
        RecordingFault: the recorded one is not there.
    """
    if given is not None:
        found = chosen(given)
        return "" if found.own else found.executable
    if not recorded:
        return ""
    for one in (moved.here(recorded), recorded):
        if os.path.isfile(one):  # noqa: PTH113
            return one
    raise RecordingFault(
        f"the Python that ran the recorded server, {recorded}, does not exist here",
        advice="Give the Python of the server's environment: --python PATH",
    )


@cache
def _ask(executable: str) -> Interpreter:
    """Return what *executable* says of itself.

    Raises:
        UsageError: it is not a Python, or not one that the engine supports.
    """
    mine = own()
    if executable == mine.executable:
        return mine
    needed = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - what the user named
            [executable, probe.__file__], env=needed, capture_output=True, timeout=ASKING, check=False
        )
        found = _described(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"{executable} does not run: {error}", advice="Give --python another one."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UsageError(
            f"{executable} is not a Python that can run a server: {last or 'it does not describe itself'}",
            advice="Give --python another one.",
        ) from error
    if found.implementation != "cpython" or found.release[:2] not in RELEASES:
        raise UsageError(
            f"the engine records CPython 3.11 and 3.12, not {found.name}",
            advice="Give the Python of another environment: --python PATH",
        )
    return mine if found.shares_environment(mine) else found


def _described(told: dict[str, Any], *, own: bool = False) -> Interpreter:
    major, minor, micro = told.pop("release")
    path = tuple(told.pop("path"))
    return Interpreter(**told, release=(major, minor, micro), path=path, own=own)
