"""Environments that loadgen makes for servers: one for each requirements file and Python, kept in a cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from loadgen.core.events import Stage
from loadgen.engine import interpreter
from loadgen.errors import MachineFault

if TYPE_CHECKING:
    from loadgen.core.events import Emit
    from loadgen.engine.interpreter import Interpreter

COMPLETE = "complete"
"""File in an environment that has all its requirements."""
INSTALLING = 600.0
"""Time limit for an installation, in seconds."""


async def with_requirements(requirements: Path, emit: Emit) -> Interpreter:
    """Return the Python of an environment that has the *requirements*; make it if it does not exist.

    Raises:
        MachineFault: they cannot be installed.
    """
    folder = _cache() / _name(requirements)
    if not (folder / COMPLETE).exists():
        emit(Stage(what=f"installing {requirements}"))
        await to_thread.run_sync(_make, folder, requirements.resolve())
    return interpreter.chosen(str(folder))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadgen" / "environments"


def _name(requirements: Path) -> str:
    made_of = f"{interpreter.own().version}\0{requirements.resolve().parent}\0".encode()
    return sha256(made_of + requirements.read_bytes()).hexdigest()[:16]


def _make(folder: Path, requirements: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # another loadgen may be making it
        if (folder / COMPLETE).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python")
        _run([interpreter.own().executable, "-m", "venv", str(folder)], requirements)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements)], requirements)
        (folder / COMPLETE).touch()


def _run(command: list[str], requirements: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            cwd=requirements.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALLING,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineFault(f"{requirements} cannot be installed: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise MachineFault(
            "\n  ".join((f"{requirements} cannot be installed:", *last)),
            advice="Install what the server needs yourself, and give its Python: --python PATH",
        )
